"""The game at one point with one frozen batch: all that a solver may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..game.game import Game
from ..game.tree import Batch, Params, Player, Setting, dot, leaves, norm, option_per_player, scale
from .evaluator import Evaluator
from .operator import Operator
from .products import LinearMap


@dataclass(frozen=True)
class LocalGame:
    """``game`` at the point ``params`` with the frozen ``batch``, for the moving ``players``; the others stand still.

    v is evaluated when it is first asked for, and then kept.
    """

    game: Evaluator
    params: Params
    batch: Batch
    players: tuple[Player, ...]
    _evaluated: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)  # (v, losses), or empty

    @staticmethod
    def of(game: Game, params: Params, batch: Batch) -> LocalGame:
        """``game`` at ``params`` with ``batch``, with all its players moving."""
        evaluator = Evaluator.of(game)
        return LocalGame(evaluator, params, batch, evaluator.players)

    @property
    def ensemble(self) -> bool:
        """Whether every tensor has a leading axis of members."""
        return self.game.members is not None

    @property
    def zero_sum(self) -> bool:
        """Whether J_ij = -J_ji^T (see :class:`counterplay.Game`)."""
        return self.game.zero_sum

    def _field(self, *along: LinearMap) -> tuple[Params, dict[Player, Tensor]]:
        if not self._evaluated:
            self._evaluated.append(self.game.field(self.players, self.params, self.batch, along))
        return self._evaluated[0]

    def gradient(self, *along: LinearMap) -> Params:
        """v: the gradient of each moving player's loss with respect to its own parameters.

        ``along`` are products (``mv`` or ``rmv``) of blocks of :meth:`jacobian` that will be used at this point. If
        they are given when v is first asked for, they share v's pass through the losses. A product that is used once
        then costs half as much.
        """
        return self._field(*along)[0]

    def losses(self) -> dict[Player, Tensor]:
        """Every player's loss: scalars, or (M,) for an ensemble."""
        return self._field()[1]

    def jacobian(self) -> Operator:
        """J = dv/dtheta over the moving players; its block (i, j) is dv_i / dtheta_j."""
        return self._block(self.players, self.players)

    def _block(self, rows: tuple[Player, ...], cols: tuple[Player, ...]) -> Operator:
        mv, rmv = self.game.products(rows, cols, self.params, self.batch)
        outputs, inputs = {i: self.params[i] for i in rows}, {j: self.params[j] for j in cols}
        plain = Operator(mv, rmv, outputs, inputs, self.ensemble, self._block)

        def matrix() -> Tensor:
            found = self.game.replayed_matrix(rmv, self.params, self.batch)
            return plain.dense() if found is None else found

        return replace(plain, matrix=matrix)

    def at(self, params: Params) -> LocalGame:
        """The same game and batch at another point. Players that ``params`` leaves out stay where they are."""
        return replace(self, params={**self.params, **params})

    def only(self, players: tuple[Player, ...]) -> LocalGame:
        """The same point for ``players`` only: v and the square J of these players, with the others frozen."""
        return replace(self, players=players)

    def project(self, params: Params) -> Params:
        """The nearest point of the strategy set. For most games this is ``params`` itself."""
        return self.game.project(params)

    def loss_gradient(self, i: Player) -> Params:
        """The gradient of player i's loss with respect to everyone's parameters."""
        return self.game.loss_gradient(i, self.params, self.batch)

    def under(self, wrap: Callable[[Game], Game], **extra: Setting) -> LocalGame:
        """The same point in the game ``wrap(game)``, which has other losses (opponent shaping).

        The options ``extra`` are put into its batch as {name: {player: tensor}}. ``wrap`` must be hashable. It is
        called once, and what is traced of its game is kept from step to step.
        """
        like, members = leaves(self.params)[0], self.game.members

        def tensor(x: float | Tensor) -> Tensor:
            if not isinstance(x, Tensor):
                x = torch.full((), x, dtype=like.dtype, device=like.device)
            return x.expand(members) if members is not None and x.dim() == 0 else x

        options = {name: {i: tensor(x) for i, x in self.everyone(value).items()} for name, value in extra.items()}
        return replace(self, game=self.game.variant(wrap), batch={**self.batch, **options})

    def dot(self, x: Params, y: Params) -> Tensor:
        """<x, y>: a scalar, or (M,) for an ensemble."""
        return dot(x, y, self.ensemble)

    def norm(self, x: Params) -> Tensor:
        """||x||: a scalar, or (M,) for an ensemble. Its gradient at x = 0 is 0, not NaN."""
        return norm(x, self.ensemble)

    def setting(self, value: Setting) -> dict[Player, float | Tensor]:
        """A solver's option for each moving player: a number, or a tensor (M,) with one number for each member."""
        everyone = self.everyone(value)
        return {i: everyone[i] for i in self.players}

    def everyone(self, value: Setting) -> dict[Player, float | Tensor]:
        """As :meth:`setting`, but for all players, also those who stand still."""
        game = self.game
        return option_per_player(value, game.players, leaves(self.params)[0], game.members, game.among)

    def scale(self, value: Setting, x: Params) -> Params:
        """``x`` times a solver's option, which may be another number for each player and each member."""
        return scale(x, self.setting(value))
