"""The check of a solver over several processes: with a share of the batch each, they equal one with the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..collective import Ranks
from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.game import Game, GanGame
from ..game.loss import GanLoss
from ..game.normalization import normalize
from ..game.tree import Batch, Buffers, Params, Player, Tree, ravel
from ..parallel.spawned import on_processes
from ..parallel.split_evaluator import SplitEvaluator
from ..registry import registry
from ..registry.registry import make
from .assertions import Case, evaluator_of, require, start_and_batch

STEPS, TOLERANCE = 2, 1e-12


@dataclass(frozen=True)
class OneNumberEach(Game):
    """A general-sum game of samples, of one number each, so that every solver can play it."""

    players = ("x", "y")
    sample_axes = MappingProxyType({"real": 0, "noise": 0})
    batch: int = 7

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        real, noise = torch.randn(2, self.batch, generator=rng, dtype=torch.float64)
        return {"real": real + 1, "noise": noise}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]
        gap = (batch["real"] * y).tanh().mean() - ((x + batch["noise"]) * y).tanh().mean()
        return {"x": gap + 0.1 * x.square().sum(), "y": 0.5 * y.square().sum() - gap}


@dataclass(frozen=True)
class Normalised(GanGame):
    """A GAN whose two networks normalise over the batch, with a loss of all logits; smooth and well conditioned."""

    loss: GanLoss
    batch: int = 7

    def init(self, rng: torch.Generator) -> Params:
        def tree(a: int, b: int, c: int) -> Tree:
            shapes = {"in": (b, a), "scale": (b,), "shift": (b,), "out": (c, b)}
            return {k: torch.randn(shape, generator=rng, dtype=torch.float64) for k, shape in shapes.items()}

        return {"generator": tree(2, 3, 2), "discriminator": tree(2, 3, 1)}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        real, noise = torch.randn(2, self.batch, 2, generator=rng, dtype=torch.float64)
        return {"real": real + 1, "noise": noise}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return _network(generator, z)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return _network(discriminator, x).squeeze(1)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        sizes = {i: sum((x.square().sum() for x in tree.values()), torch.zeros(())) for i, tree in params.items()}
        return {i: x + sizes[i] / 2 for i, x in super().losses(params, batch).items()}


def _network(tree: Tree, x: Tensor) -> Tensor:
    return normalize(x @ tree["in"].T, tree["scale"], tree["shift"]).tanh() @ tree["out"].T


ARENAS: dict[str, Callable[[], Evaluator]] = {
    "one number each": lambda: evaluator_of(OneNumberEach()),
    "one number each, replayed": lambda: replace(evaluator_of(OneNumberEach(batch=8)), trace=True),
    "normalised, relativistic": lambda: replace(
        evaluator_of(Normalised(make("loss", "relativistic-average"))), trace=True
    ),
    "two members, mmd": lambda: evaluator_of(Normalised(make("loss", "mmd"), batch=8), 2),
}

Answer = dict[str, float | str]  # by arena: the largest relative difference, or why it is not played


def differences(
    ranks: Ranks, names: Sequence[Any], arenas: Sequence[str] = tuple(ARENAS), plugins: Sequence[str] = ()
) -> dict[str, Answer]:
    """For each solver and arena, how much a run of the split game differs from one of the whole game."""
    for path in plugins:
        registry.load_file(path)
    return {_key(name): {arena: _difference(ranks, name, ARENAS[arena]()) for arena in arenas} for name in names}


def _key(name: Any) -> str:
    return str(name["name"] if isinstance(name, Mapping) else name)


def _difference(ranks: Ranks, name: Any, game: Evaluator) -> float | str:
    try:
        whole, split = (_played(make("solver", name), g) for g in (game, SplitEvaluator.over(ranks, game)))
    except UsageError as refused:
        return str(refused)
    return float((whole - split).abs().max() / whole.abs().max().clamp(min=1.0))


def _played(solver: Any, game: Evaluator) -> Tensor:
    """Parameters, losses and v after some steps from a fixed seed, in one vector."""
    with torch.no_grad():
        params, _ = start_and_batch(game)
        memory, rngs = solver.init(game, params), game.generators(1)
        for _ in range(STEPS):
            params, memory, info = solver.step(game, params, memory, lambda: game.draw(rngs, {}))
    seen = [ravel(p, game.members is not None).reshape(-1) for p in (params, info.gradient)]
    return torch.cat([*seen, *(x.reshape(-1) for x in info.losses.values())])


def over_processes(name: Any, count: int, plugins: Sequence[str] = ()) -> Case:
    """The check of the solver ``name``, or of its table, over ``count`` processes, which load the files ``plugins``."""

    def equal() -> None:
        found = on_processes(count, differences, [name], tuple(ARENAS), plugins)
        played = {arena: x for arena, x in found[0][_key(name)].items() if not isinstance(x, str)}
        require(played, f"it refuses every one of these games: {', '.join(ARENAS)}")
        for answers in found:
            for arena in played:
                error = float(answers[_key(name)][arena])
                wrong = f"{arena}: they differ by {error:.2e}, {TOLERANCE:.2e} allowed"
                require(error <= TOLERANCE, f"{wrong}; all that it draws or reads must be the same in every process")

    return f"{count} processes with a share of the batch each equal one with the whole", equal
