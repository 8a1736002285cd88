"""Regularisers: transformers of games.

A regulariser may add penalties to the losses, reparametrise the players, project what they do, and put noise of
its own into the batch; each part is optional. Several apply in the order given.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from .checks import losses_of, require_mapping
from .game import Game, GanGame
from .tree import Batch, Buffers, Params, Player, Tree


class Regularizer(ABC):
    """A frozen dataclass whose fields are its options. Override what it does."""

    work: tuple[int, int] | None = None
    """The gradients and products that it adds to one evaluation of v; None: one product for each derivative seen."""
    unconstrained: str = ""
    """Why it has no meaning where players are projected, as for :attr:`counterplay.Solver.unconstrained`."""
    mixes_players: bool = False
    """Whether a penalty makes one player's loss depend on another's parameters in a way the other's does not."""

    def check(self, game: Game) -> None:
        """Raise UsageError where it does not apply."""

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        """What to add to the losses of ``game``; pure, differentiable."""
        return {}

    def reparametrise(self, game: Game, player: Player, tree: Tree, batch: Batch) -> Tree:
        """The parameters that ``game`` is played with, from those the solver moves."""
        return tree

    def project(self, game: Game, params: Params) -> Params:
        """The strategy set's point nearest to ``params``, as :meth:`counterplay.Game.project` has it."""
        return params

    def sample(self, game: Game, rng: torch.Generator, batch: Batch) -> Batch:
        """The batch with what this regulariser draws for a step added."""
        return batch

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        """Buffers of its own; names must not be another's. ``params`` are shapes to go by."""
        return {}

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        """All buffers of the next step, its own renewed."""
        return buffers


@dataclass(frozen=True)
class Regularized(Game):
    """``game`` under one regulariser."""

    game: Game
    regularizer: Regularizer

    def __post_init__(self) -> None:
        self.regularizer.check(self.game)
        object.__setattr__(self, "players", tuple(self.game.players))

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.game.zero_sum and not self.regularizer.mixes_players

    @property
    def metric_axes(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return self.game.metric_axes

    def __getattr__(self, name: str) -> Any:
        # Only what is not defined here: the game's own options and helpers (dtype, shapes, data).
        if name.startswith("__") or name == "game":
            raise AttributeError(name)
        return getattr(self.game, name)

    def init(self, rng: torch.Generator) -> Params:
        return self.game.init(rng)

    @property
    def draws(self) -> bool:
        return self.game.draws or type(self.regularizer).sample is not Regularizer.sample

    def buffers(self, rng: torch.Generator) -> Buffers:
        own = require_mapping(self.game, "buffers", self.game.buffers(rng))
        added = self.regularizer.buffers(self.game, rng, self._shapes())
        self.__dict__["_added"] = frozenset(added)  # here: a generator cannot be asked inside a vmap
        return {**own, **added}

    def _shapes(self) -> Params:
        """Parameters for their shapes alone, thrown away, from a generator of their own."""
        return self.game.init(torch.Generator().manual_seed(0))

    @cached_property
    def _added(self) -> frozenset[str]:
        """The names of the buffers that are the regularizer's."""
        return frozenset(self.regularizer.buffers(self.game, torch.Generator().manual_seed(0), self._shapes()))

    def _own(self, buffers: Buffers) -> Buffers:
        """Those of the game, which may do with its own what it likes."""
        return {name: x for name, x in buffers.items() if name not in self._added}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        batch = require_mapping(self.game, "sample", self.game.sample(rng, self._own(buffers)))
        return self.regularizer.sample(self.game, rng, {**buffers, **batch})

    def samples(self, drawn: Batch) -> int:
        return self.game.samples(drawn) if self.game.draws else 0

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        return {**buffers, **self.game.gallery(rng, self._own(buffers))}

    def refresh(self, params: Params, buffers: Buffers) -> Buffers:
        renewed = require_mapping(self.game, "refresh", self.game.refresh(params, self._own(buffers)))
        return self.regularizer.refresh(self.game, params, {**buffers, **renewed})

    @property
    def projects(self) -> bool:
        return self.game.projects or type(self.regularizer).project is not Regularizer.project

    def project(self, params: Params) -> Params:
        return self.regularizer.project(self.game, self.game.project(params))

    def inner(self, params: Params, batch: Batch) -> Params:
        return {i: self.regularizer.reparametrise(self.game, i, tree, batch) for i, tree in params.items()}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        params = self.inner(params, batch)
        penalties = self.regularizer.penalties(self.game, params, batch)
        return {i: x + penalties[i] if i in penalties else x for i, x in losses_of(self.game, params, batch).items()}

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        return self.game.metrics(self.inner(params, batch), batch)

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        return self.game.show(self.inner(params, batch), batch)


@dataclass(frozen=True)
class RegularizedGan(Regularized, GanGame):
    """The same for a GAN: generator and discriminator are the reparametrised ones."""

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        own = self.regularizer.reparametrise(self.game, "generator", generator, batch)
        return self.game.generate(own, z, batch)  # type: ignore[attr-defined]

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        own = self.regularizer.reparametrise(self.game, "discriminator", discriminator, batch)
        return self.game.discriminate(own, x, batch)  # type: ignore[attr-defined]


def regularized(game: Game, *regularizers: Regularizer) -> Game:
    """``game`` under ``regularizers``, the first one innermost."""
    for r in regularizers:
        game = RegularizedGan(game, r) if isinstance(game, GanGame) else Regularized(game, r)
    return game


def need_gan(name: str, game: Game) -> GanGame:
    """Return ``game``. Raises UsageError unless it has a generator and a discriminator."""
    if not isinstance(game, GanGame):
        players = ", ".join(game.players)
        raise UsageError(
            f"regularizer {name} needs a GAN that says what is generated and discriminated, a counterplay.GanGame; "
            f"this is a {type(game).__name__}, its players {players}."
        )
    return game


def need_player(name: str, game: Game, player: Player) -> None:
    """Raise UsageError unless ``player`` plays."""
    if player not in game.players:
        players = ", ".join(game.players)
        raise UsageError(f"regularizer {name}: no player {player!r}; set its option player to one of {players}.")
