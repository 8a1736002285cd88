"""The game at one point with one frozen batch: all that a solver may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..game.game import Game
from ..game.tree import Batch, Params, Player, Setting, dot, leaves, norm, scale, setting
from .evaluator import Evaluator
from .operator import Operator
from .products import Linear


@dataclass(frozen=True)
class LocalGame:
    """``game`` at ``params`` with ``batch``, for the moving ``players``; the others stand still."""

    game: Evaluator
    params: Params
    batch: Batch
    players: tuple[Player, ...]
    _seen: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @staticmethod
    def of(game: Game, params: Params, batch: Batch) -> LocalGame:
        prepared = Evaluator.of(game)
        return LocalGame(prepared, params, batch, prepared.players)

    @property
    def ensemble(self) -> bool:
        """Whether every tensor has a leading axis of members."""
        return self.game.members is not None

    @property
    def zero_sum(self) -> bool:
        """Whether J_ij = -J_ji^T (see :class:`counterplay.Game`)."""
        return self.game.zero_sum

    def _field(self, *along: Linear) -> tuple[Params, dict[Player, Tensor]]:
        if not self._seen:
            self._seen.append(self.game.field(self.players, self.params, self.batch, along))
        return self._seen[0]

    def gradient(self, *along: Linear) -> Params:
        """v: each player's gradient of its own loss with respect to its own parameters.

        Products of blocks of :meth:`jacobian` that are named here, the first time that v is asked for, take their
        pass through the losses from v's own: half the cost of a product that is used once.
        """
        return self._field(*along)[0]

    def losses(self) -> dict[Player, Tensor]:
        """Every player's loss: scalars, or (M,) for an ensemble."""
        return self._field()[1]

    def jacobian(self) -> Operator:
        """J = dv/dtheta over the moving players."""
        return self._block(self.players, self.players)

    def _block(self, rows: tuple[Player, ...], cols: tuple[Player, ...]) -> Operator:
        mv, rmv = self.game.products(rows, cols, self.params, self.batch)
        outputs, inputs = {i: self.params[i] for i in rows}, {j: self.params[j] for j in cols}
        return Operator(mv, rmv, outputs, inputs, self.ensemble, self._block)

    def at(self, params: Params) -> LocalGame:
        """The same game and batch somewhere else."""
        return replace(self, params={**self.params, **params})

    def only(self, players: tuple[Player, ...]) -> LocalGame:
        """The same place with the others frozen: v and the square J of those players."""
        return replace(self, players=players)

    def project(self, params: Params) -> Params:
        """The strategy set's point at ``params``: themselves for most games."""
        return self.game.project(params)

    def loss_gradient(self, i: Player) -> Params:
        """The gradient of player i's loss with respect to everyone's parameters."""
        return self.game.loss_gradient(i, self.params, self.batch)

    def under(self, wrap: Callable[[Game], Game], **extra: Setting) -> LocalGame:
        """This place in the game ``wrap(game)``, whose batch also holds the options ``extra``, resolved by player.

        ``wrap`` makes a game with other losses (opponent shaping); it must be hashable, and is called once.
        """
        one, members = leaves(self.params)[0], self.game.members

        def tensor(x: float | Tensor) -> Tensor:
            x = torch.as_tensor(x, dtype=one.dtype, device=one.device)
            return x.expand(members) if members is not None and x.dim() == 0 else x

        options = {name: {i: tensor(x) for i, x in self.everyone(value).items()} for name, value in extra.items()}
        return replace(self, game=self.game.variant(wrap), batch={**self.batch, **options})

    def dot(self, x: Params, y: Params) -> Tensor:
        """<x, y>: a scalar, or (M,) for an ensemble."""
        return dot(x, y, self.ensemble)

    def norm(self, x: Params) -> Tensor:
        return norm(x, self.ensemble)

    def setting(self, value: Setting) -> dict[Player, float | Tensor]:
        """A solver's option, resolved for each moving player: a number, or (M,) of one number per member."""
        everyone = self.everyone(value)
        return {i: everyone[i] for i in self.players}

    def everyone(self, value: Setting) -> dict[Player, float | Tensor]:
        """The same for those who stand still, too."""
        return setting(value, self.game.players, leaves(self.params)[0], self.game.members)

    def scale(self, value: Setting, x: Params) -> Params:
        """``x`` times a solver's option, which may differ by player and by member."""
        return scale(x, self.setting(value))
