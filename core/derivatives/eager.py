"""v, gradients and products of a game for all its members, computed by torch.func without tracing or counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap
from torch.utils._pytree import tree_map

from ..game.checks import losses_of
from ..game.game import Game
from ..game.tree import Batch, Params, Player
from .field import field_of, pullback
from .operator import Operator
from .products import Block, LinearMap, Rows, VAndProducts


def over_members(ensemble: bool, f: Callable[..., Any], *args: Any) -> Any:
    """``f(*args)``, vmapped over the leading axis of every tensor in an ensemble."""
    if not ensemble:
        return f(*args)
    dims = tree_map(lambda x: 0 if isinstance(x, Tensor) else None, args)
    return vmap(f, in_dims=dims)(*args)


@dataclass(frozen=True)
class Eager:
    """Derivatives of ``game``, for every member of an ensemble. All of them can be differentiated again."""

    game: Game
    ensemble: bool

    def field(self, rows: Rows, params: Params, batch: Batch) -> tuple[Params, dict[Player, Tensor]]:
        """v_i for the players i in ``rows``, and every player's loss."""
        return over_members(self.ensemble, lambda p, b: field_of(self.game, rows, p, b), params, batch)

    def loss_gradient(self, i: Player, params: Params, batch: Batch) -> Params:
        """The gradient of player i's loss with respect to everyone's parameters."""
        loss = lambda p, b: losses_of(self.game, p, b)[i]  # noqa: E731
        return over_members(self.ensemble, grad(loss), params, batch)

    def products(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> tuple[LinearMap, LinearMap]:
        """The products u -> J u and w -> J^T w with the block of ``rows`` and ``cols`` at one point."""
        v, pull = self._pullback(rows, cols, params, batch)
        return _transposed(pull, v), pull

    def matrix(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> Tensor:
        """The block of ``rows`` and ``cols`` of J at one point, ([M,] N_rows, N_cols), by a product for each row."""
        push, pull = self.products(rows, cols, params, batch)
        outputs, inputs = {i: params[i] for i in rows}, {j: params[j] for j in cols}
        return Operator(push, pull, outputs, inputs, self.ensemble).dense()

    def v_and_products(self, rows: Rows, blocks: list[Block], params: Params, batch: Batch) -> VAndProducts:
        """The field of ``rows`` (None if there are none), and the products with ``blocks``, at one point."""

        def product(block: Block) -> LinearMap:
            v, pull = self._pullback(block.rows, block.cols, params, batch)
            return pull if block.adjoint else _transposed(pull, v)

        v = self.field(rows, params, batch) if rows else None  # first: the products hold what they need from then on
        return v, [product(block) for block in blocks]

    def v_and_products_forward(self, rows: Rows, blocks: list[Block], params: Params, batch: Batch) -> VAndProducts:
        """As :meth:`v_and_products`, with J u in forward mode: cheaper to trace, but not every operation has it."""

        def product(block: Block) -> LinearMap:
            if block.adjoint:
                return self._pullback(block.rows, block.cols, params, batch)[1]
            v, here = self._rows(block.rows, params, batch), {j: params[j] for j in block.cols}
            return lambda u: jvp(v, (here,), (u,))[1]

        return self.field(rows, params, batch) if rows else None, [product(block) for block in blocks]

    def _pullback(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> tuple[Params, LinearMap]:
        """v of ``rows``, and w -> J^T w with the block of ``rows`` and ``cols`` at this point."""
        return pullback(self._rows(rows, params, batch), {j: params[j] for j in cols})

    def _rows(self, rows: Rows, params: Params, batch: Batch) -> LinearMap:
        """v of ``rows`` as a function of the parameters of the players who move."""
        return lambda moved: self.field(rows, {**params, **moved}, batch)[0]


def _transposed(pull: LinearMap, v: Params) -> LinearMap:
    """u -> J u of w -> J^T w, for w like ``v``.

    Reverse over reverse: the pullback is linear, so its own pullback is the product with J. Unlike forward mode this
    works for every operation that has a derivative, and it can be differentiated again. It is made when this is called,
    not at its first use: that may be inside a transform, and the map must be valid outside too.
    """
    return pullback(pull, tree_map(torch.zeros_like, v))[1]
