"""Regularisers: each turns a game into another game of the same players.

A regulariser may add penalties to the losses, reparametrise the players, project their parameters, and add random
numbers of its own to the batch. Each of these is optional. Several regularisers apply in the order given.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..options import called
from .checks import losses_of, require_mapping
from .game import Game, GanGame
from .tree import Batch, Buffers, Params, Player, Tree

Refresh = Callable[[Params, Buffers], Buffers]
"""The form of :meth:`counterplay.Game.refresh`."""


class Regularizer(ABC):
    """A regulariser. A subclass is a frozen dataclass whose fields are its options; it overrides what it changes."""

    work: tuple[int, int] | None = None
    """What it adds to the cost of one evaluation of v: gradients, and products. None: one product for each derivative
    that it is seen to take."""
    unconstrained: str = ""
    """Why it makes no sense in a game that projects; see :attr:`counterplay.Solver.unconstrained`."""
    mixes_players: bool = False
    """Whether its penalties couple the players so that a zero-sum game does not stay one (J_ij = -J_ji^T is lost)."""
    sample_axes: Mapping[str, int] = {}
    """The entries of a batch that it draws for each sample, as in :attr:`counterplay.Game.sample_axes`."""

    def check(self, game: Game) -> None:
        """Raise UsageError if it cannot be applied to ``game``."""

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        """What is added to each player's loss, a scalar. Players without a penalty may be left out. Must be pure."""
        return {}

    def reparametrise(self, game: Game, player: Player, tree: Tree, batch: Batch) -> Tree:
        """The parameters with which ``game`` is evaluated, made from ``tree``, the parameters that the solver moves."""
        return tree

    def shown(self, game: Game, params: Params, batch: Batch) -> Params:
        """The parameters that samples and metrics are taken of, in the place of ``params``."""
        return params

    def project(self, game: Game, params: Params) -> Params:
        """The point of the strategy set that is nearest to ``params``, as in :meth:`counterplay.Game.project`."""
        return params

    def sample(self, game: Game, rng: torch.Generator, batch: Batch) -> Batch:
        """``batch`` together with what this regulariser draws for a step."""
        return batch

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        """The first values of its own buffers, under names that nobody else uses. ``params`` tell the shapes."""
        return {}

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        """``buffers``, the game's among them, with its own renewed for the next step."""
        return buffers


@dataclass(frozen=True)
class Regularized(Game):
    """``game`` under one regulariser, as a game."""

    game: Game
    regularizer: Regularizer

    def __post_init__(self) -> None:
        self.regularizer.check(self.game)
        object.__setattr__(self, "players", tuple(self.game.players))

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.game.zero_sum and not self.regularizer.mixes_players

    @property
    def position_buffers(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.game.position_buffers

    @property
    def sample_axes(self) -> Mapping[str, int]:  # type: ignore[override]
        return {**self.game.sample_axes, **self.regularizer.sample_axes}

    @property
    def metric_axes(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return self.game.metric_axes

    def metric_provenance(self) -> Mapping[str, Mapping[str, str | int | float]]:
        return self.game.metric_provenance()

    def __getattr__(self, name: str) -> Any:
        # Python calls this for names that are not defined here: the game's own options and helpers.
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
        if taken := own.keys() & added.keys():
            raise UsageError(
                f"{called(self.regularizer)} keeps {min(taken)!r} from step to step, and so does the game or "
                "another regularizer: give each regularizer once, or once for each player."
            )
        self.__dict__["_added"] = frozenset(added)  # kept from here, as inside a vmap no generator may be used
        return {**own, **added}

    def _shapes(self) -> Params:
        """Parameters that only tell shapes. Their generator is not the run's, which must not advance here."""
        return self.game.init(torch.Generator().manual_seed(0))

    @cached_property
    def _added(self) -> frozenset[str]:
        """The names of the regularizer's own buffers."""
        return frozenset(self.regularizer.buffers(self.game, torch.Generator().manual_seed(0), self._shapes()))

    def _own(self, buffers: Buffers) -> Buffers:
        """The game's own buffers. The game never gets those of the regularizer."""
        return {name: x for name, x in buffers.items() if name not in self._added}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        batch = require_mapping(self.game, "sample", self.game.sample(rng, self._own(buffers)))
        return self.regularizer.sample(self.game, rng, {**buffers, **batch})

    def advance(self, buffers: Buffers) -> Buffers:
        return {**buffers, **self.game.advance(self._own(buffers))}

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

    def reparametrised(self, params: Params, batch: Batch) -> Params:
        """The parameters with which the wrapped game is evaluated."""
        return {i: self.regularizer.reparametrise(self.game, i, tree, batch) for i, tree in params.items()}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        params = self.reparametrised(params, batch)
        penalties = self.regularizer.penalties(self.game, params, batch)
        return {i: x + penalties[i] if i in penalties else x for i, x in losses_of(self.game, params, batch).items()}

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        game, params = self.shown_parameters(params, batch)
        return game.metrics(params, batch)

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        game, params = self.shown_parameters(params, batch)
        return game.show(params, batch)

    def shown_parameters(self, params: Params, batch: Batch) -> tuple[Game, Params]:
        """The game without regularizers, and its parameters that samples and metrics are taken of.

        What is shown in the place of parameters stands for those that the solver moves, so all regularizers first say
        what is shown, and then reparametrise it.
        """
        *wrapping, game = layers(self)
        for g in wrapping:
            params = g.regularizer.shown(g.game, params, batch)
        for g in wrapping:
            params = g.reparametrised(params, batch)
        return game, params


@dataclass(frozen=True)
class RegularizedGan(Regularized, GanGame):  # type: ignore[misc]  # sample_axes is a property of one
    """A GAN under one regulariser. It generates and discriminates with the reparametrised players."""

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        own = self.regularizer.reparametrise(self.game, "generator", generator, batch)
        return self.game.generate(own, z, batch)  # type: ignore[attr-defined]

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        own = self.regularizer.reparametrise(self.game, "discriminator", discriminator, batch)
        return self.game.discriminate(own, x, batch)  # type: ignore[attr-defined]


def layers(game: Game) -> list[Any]:
    """``game`` and the games that it wraps, one for each regularizer, outermost first; last the game without any."""
    return [game, *layers(game.game)] if isinstance(game, Regularized) else [game]


def refresh_functions(game: Game) -> list[Refresh]:
    """The parts of a refresh in order: that of the game without regularizers, then that of each one, innermost first.

    Each returns all buffers, with its own renewed.
    """
    if not isinstance(game, Regularized):
        return [game.refresh]

    def inside(part: Refresh) -> Refresh:
        return lambda params, buffers: {**buffers, **part(params, game._own(buffers))}

    return [*map(inside, refresh_functions(game.game)), partial(game.regularizer.refresh, game.game)]


def regularized(game: Game, *regularizers: Regularizer) -> Game:
    """``game`` under ``regularizers``. The first one is innermost: it is applied to ``game`` itself."""
    for r in regularizers:
        game = RegularizedGan(game, r) if isinstance(game, GanGame) else Regularized(game, r)
    return game


def need_gan(name: str, game: Game) -> GanGame:
    """Return ``game`` if it is a :class:`GanGame`, else raise UsageError. ``name`` is the regularizer's."""
    if not isinstance(game, GanGame):
        players = ", ".join(game.players)
        raise UsageError(
            f"regularizer {name} needs a GAN that says what is generated and discriminated, a counterplay.GanGame; "
            f"this is {called(game)}, with the players {players}."
        )
    return game


def need_player(name: str, game: Game, player: Player) -> None:
    """Raise UsageError unless ``player`` is a player of ``game``. ``name`` is the regularizer's."""
    if player not in game.players:
        players = ", ".join(game.players)
        raise UsageError(f"regularizer {name}: no player {player!r}; set its option player to one of {players}.")
