"""The field v, and the pullback of a function, by torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from ..game.checks import losses_of
from ..game.game import Game
from ..game.torch_errors import explain_derivatives
from ..game.tree import Batch, Params, Player
from .products import LinearMap, Rows


def pullback(f: LinearMap, x: Params) -> tuple[Params, LinearMap]:
    """f(x), and the map w -> (df/dx)^T w."""
    fx, pull = vjp(f, x)[:2]
    return fx, lambda w: _pull(pull, w)


def _pull(pull: Callable[..., Any], w: Any) -> Any:
    """``pull(w)``. Raises PluginError if the losses use an operation for which torch has no derivative."""
    try:
        return pull(w)[0]
    except RuntimeError as error:
        if (explained := explain_derivatives(error)) is None:
            raise
        raise explained from error


def field_of(game: Game, rows: Rows, params: Params, batch: Batch) -> tuple[Params, dict[Player, Tensor]]:
    """v_i = d loss_i / d theta_i for the players i in ``rows``, and all losses, from one evaluation of the losses."""
    losses, pull = vjp(lambda moved: losses_of(game, {**params, **moved}, batch), {i: params[i] for i in rows})[:2]

    def pick(i: Player) -> dict[Player, Tensor]:
        """The cotangent that selects the loss of player i."""
        return {j: torch.ones_like(x) if j == i else torch.zeros_like(x) for j, x in losses.items()}

    return {i: _pull(pull, pick(i))[i] for i in rows}, losses
