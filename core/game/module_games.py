"""Games whose players are torch modules that a user already has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..errors import UsageError
from .adapters import Sample, require_function, validated_losses
from .checks import describe_value, require_mapping
from .game import Game
from .module_state import ModuleState
from .torch_errors import explained
from .tree import Batch, Buffers, Params, Player

Nets = dict[Player, nn.Module]


@dataclass(frozen=True)
class GameFromModules(Game):
    """What :func:`game_from_modules` returns. Frozen parameters and buffers of the modules are buffers of the game."""

    modules: dict[Player, nn.Module] = field(repr=False)
    of: Callable[[Nets, Batch], dict[Player, Tensor]] = field(repr=False)
    draw: Sample = field(repr=False)
    state: ModuleState = field(repr=False, compare=False)
    start: Params = field(repr=False, compare=False)
    constants: Buffers = field(repr=False, compare=False)
    players: tuple[Player, ...] = ()
    zero_sum: bool = False
    shown: Callable[[Nets, Batch], Tensor] | None = field(default=None, repr=False)
    measured: Callable[[Nets, Batch], Mapping[str, Any]] | None = field(default=None, repr=False)

    @property
    def hint(self) -> str:
        """A sentence that is added to errors that a module raises."""
        return ""

    def init(self, rng: torch.Generator) -> Params:
        return {i: {k: x.clone() for k, x in tree.items()} for i, tree in self.start.items()}

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {name: x.clone() for name, x in self.constants.items()}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        return {**buffers, **require_mapping(self, "sample", self.draw(rng))}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        with explained(self.modules, self.hint, params), self.in_place_of_weights(params, batch):
            return validated_losses(self.of(self.modules, batch), self.players)

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        """What the user's ``show`` makes, if it was given."""
        if self.shown is None:
            return None
        with explained(self.modules, self.hint, params), self.in_place_of_weights(params, batch):
            return self.shown(self.modules, batch)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """What the user's ``metrics`` gives, if it is a function."""
        if self.measured is None:
            return {}
        with explained(self.modules, self.hint, params), self.in_place_of_weights(params, batch):
            return dict(require_mapping(self, "metrics", self.measured(self.modules, batch)))

    def in_place_of_weights(self, params: Params, batch: Batch) -> AbstractContextManager[None]:
        """A context in which the modules have ``params``, of all or some players, and the constants in ``batch``."""
        now = {(i, k): x for i, tree in {**self.start, **params}.items() for k, x in tree.items()}
        now |= {key: batch.get(name, self.constants[name]) for key in self.state.constant for name in ["/".join(key)]}
        return self.state.replaced(now)

    def trained(self, params: Params, *, batches: int = 100, seed: int = 0) -> dict[Player, nn.Module]:
        """The modules, with ``params`` written into them, for use outside the game.

        The game never uses the running statistics of normalisation layers in training mode. They are set here to the
        average over ``batches`` batches, drawn from ``seed``, at ``params``. Raises UsageError for parameters of
        another shape.
        """
        for (i, name), x in self.state.trainable.items():
            given = params.get(i, {}).get(name)
            if not isinstance(given, Tensor) or given.shape != x.shape:
                found = "missing" if given is None else describe_value(given)
                raise UsageError(
                    f"trained: {i}/{name} is {found}; expected: {describe_value(x)}. Of an ensemble, hand over the "
                    "parameters of one member."
                )
        with torch.no_grad():
            for (i, name), x in self.state.trainable.items():
                x.copy_(params[i][name])
            norms = [m for m in self.state.all if isinstance(m, _NormBase) and m.training and m.track_running_stats]
            momenta = [m.momentum for m in norms]
            try:
                for m in norms:
                    m.reset_running_stats()
                    m.momentum = None  # torch then averages over all batches, each with the same weight
                rng = torch.Generator().manual_seed(seed)
                buffers = self.buffers(rng)
                for _ in range(batches if norms else 0):
                    self.of(self.modules, self.sample(rng, buffers))
                    buffers = self.advance(buffers)
            finally:
                for m, momentum in zip(norms, momenta, strict=True):
                    m.momentum = momentum
        return self.modules


def game_from_modules(
    modules: Mapping[Player, nn.Module],
    losses: Callable[[Nets, Batch], dict[Player, Tensor]],
    sample: Sample,
    zero_sum: bool = False,
) -> GameFromModules:
    """What :func:`counterplay.game_from_modules` returns without a data set; it says more."""
    for i, m in modules.items() if isinstance(modules, Mapping) else ():
        if not isinstance(m, nn.Module) or not isinstance(i, str):
            raise UsageError(f"modules are {{player: torch.nn.Module}}; got {type(m).__name__} for {i!r:.40}.")
    if not isinstance(modules, Mapping) or not modules:
        raise UsageError(f"modules are {{player: torch.nn.Module}}; got {modules!r:.80}.")
    require_function(losses, "losses", "nets", "batch")
    require_function(sample, "sample", "rng")
    state = ModuleState.of(modules)
    start: Params = {i: {} for i in modules}
    for (i, name), x in state.trainable.items():
        start[i][name] = x.detach().clone()
    constants = {"/".join(key): x.detach().clone() for key, x in state.constant.items()}
    own: dict[str, Any] = dict(modules)
    return GameFromModules(own, losses, sample, state, start, constants, tuple(own), zero_sum)
