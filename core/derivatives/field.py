"""v, and the pullback of a function: derivatives by torch.func, written down once."""

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
from .products import Linear, Rows


def pullback(f: Linear, x: Params) -> tuple[Params, Linear]:
    """f(x), and w -> (df/dx)^T w."""
    fx, pull = vjp(f, x)[:2]
    return fx, lambda w: _pulled(pull, w)


def _pulled(pull: Callable[..., Any], w: Any) -> Any:
    """``pull(w)``. Raises PluginError where torch has no derivative of what the losses use."""
    try:
        return pull(w)[0]
    except RuntimeError as error:
        if (told := explain_derivatives(error)) is None:
            raise
        raise told from error


def field_of(game: Game, rows: Rows, params: Params, batch: Batch) -> tuple[Params, dict[Player, Tensor]]:
    """v_i = d loss_i / d theta_i for the players i in ``rows``, from one evaluation of the losses."""
    losses, pull = vjp(lambda own: losses_of(game, {**params, **own}, batch), {i: params[i] for i in rows})[:2]

    def pick(i: Player) -> dict[Player, Tensor]:
        return {j: torch.ones_like(x) if j == i else torch.zeros_like(x) for j, x in losses.items()}

    return {i: _pulled(pull, pick(i))[i] for i in rows}, losses
