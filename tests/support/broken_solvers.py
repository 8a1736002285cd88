"""Solvers that break one promise each, and the check that must notice."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import add, scale, tmap
from counterplay.core.solver.solver import Composed, StepInfo


@dataclass(frozen=True)
class SoundSolver(Composed):
    """Gradient descent with a memory of its own."""


class BareRoot(SoundSolver):
    def direction(self, local):
        v = local.gradient()
        size = sum((x * x).flatten(-1).sum(-1) for t in v.values() for x in t.values()).sqrt()
        return scale(v, 1 / (1 + size))


class MovesInPlace(SoundSolver):
    def direction(self, local):
        for t in local.params.values():
            for x in t.values():
                x.mul_(0.99)
        return local.gradient()


class StepDraws(SoundSolver):
    def direction(self, local):
        return tmap(lambda g: g * torch.rand(()), local.gradient())


class StartsWarm(SoundSolver):
    def remember(self, params):
        return {"count": torch.ones(())}


class RemembersNumbers(SoundSolver):
    def remember(self, params):
        return {"count": 0}


class MemoryGrows(SoundSolver):
    def directed(self, local, memory):
        return local.gradient(), {**memory, "more": torch.zeros(())}


class NeverRests(SoundSolver):
    def direction(self, local):
        return tmap(lambda g: g + 0.1, local.gradient())


class Consensus(SoundSolver):
    """v + J^T v, which is 0 where v is, and only there."""

    def direction(self, local):
        v = local.gradient()
        return add(v, local.jacobian().rmv(v))


class Flagged(SoundSolver):
    """v + 2 (v - last v), but for the first step, which a flag in the memory marks: F' is another one there."""

    def remember(self, params):
        first = next(iter(params.values()))["value"]
        return {"last": cp.tree.zeros_like(params), "seen": torch.zeros_like(first.sum(-1))}

    def directed(self, local, memory):
        v, seen = local.gradient(), memory["seen"]
        more = cp.tree.scale(cp.tree.sub(v, memory["last"]), 2.0 * seen)
        return add(v, more), {"last": v, "seen": torch.ones_like(seen)}


class Normalised(SoundSolver):
    """v / (1 + |v|) is sound, but for the size of its steps, of which it does not say that it adapts."""

    def direction(self, local):
        v = local.gradient()
        return local.scale(1 / (1 + local.norm(v)), v)


class OneNormForAll(SoundSolver):
    """The step is divided by the norm over all members together."""

    def direction(self, local):
        v = local.gradient()
        return scale(v, 1 / (1 + float(sum((g * g).sum() for t in v.values() for g in t.values()))))


class SinglePrecision(SoundSolver):
    def step(self, game, params, memory, draw):
        params, memory, info = super().step(game, params, memory, draw)
        return tmap(lambda x: x.float(), params), memory, info


class LosesAPlayer(SoundSolver):
    def step(self, game, params, memory, draw):
        after, memory, info = super().step(game, params, memory, draw)
        return dict(list(after.items())[:1]), memory, info


class SaysNothing(SoundSolver):
    def step(self, game, params, memory, draw):
        params, memory, _ = super().step(game, params, memory, draw)
        return params, memory, StepInfo({}, {})


@dataclass(frozen=True)
class NoStepSize(cp.Solver):
    """A step of size 0.01."""

    def step(self, game, params, memory, draw):
        local = LocalGame.of(game, params, draw())
        return tmap(lambda x, g: x - 0.01 * g, params, local.gradient()), memory, StepInfo.at(local)


class Refuses(SoundSolver):
    def direction(self, local):
        raise cp.UsageError("this game does not suit.")


class Crashes(SoundSolver):
    def direction(self, local):
        raise RuntimeError("no such thing")


@dataclass(frozen=True)
class NeedsAnOption(Composed):
    """Gradient descent that cannot be made by name alone."""

    lr: float = cp.option(help="step size")


BROKEN_SOLVERS = [
    (MovesInPlace, "step is pure"),
    (StepDraws, "step is pure"),
    (StartsWarm, "memory: tensors, zero at first, of one structure"),
    (RemembersNumbers, "memory: tensors, zero at first, of one structure"),
    (MemoryGrows, "memory: tensors, zero at first, of one structure"),
    (NeverRests, "an equilibrium is a fixed point"),
    (BareRoot, "F' is finite at an equilibrium"),
    (Flagged, "F' at an equilibrium is that of the first memory"),
    (Normalised, "steps are in proportion to v, or adaptive"),
    (Consensus, "strategy sets are kept or refused"),
    (OneNormForAll, "a member is the run alone"),
    (SinglePrecision, "parameters keep their shape"),
    (LosesAPlayer, "parameters keep their shape"),
    (SaysNothing, "parameters keep their shape"),
    (NoStepSize, "lr is the step size"),
    (Refuses, "there are games it can play"),
    (Crashes, "step is pure"),
    (NeedsAnOption, "step is pure"),
]
