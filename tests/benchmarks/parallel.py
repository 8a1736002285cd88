"""What a step of two processes costs, beside the same step by PyTorch's DistributedDataParallel.

    python tests/benchmarks/parallel.py [--quick]

simgd with Adam on the ring of Gaussians (four hidden layers of 256 in both networks, batch 256, half of it for each
process, over gloo on the CPU), and acgd. Both loops start at the same parameters and see the same batches; the first
steps are compared. Prints medians of turns, by the clock and by the processor, as ratios, and appends them to
``record.jsonl``: run it on an idle machine with two cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from common import keep
from torch import nn
from torch.nn.functional import softplus
from torch.nn.parallel import DistributedDataParallel

import counterplay as cp
from counterplay.core.collective import Ranks
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.parallel.split_evaluator import SplitEvaluator

LR = 1e-4
Figures = dict[str, float]


def network(inputs: int, outputs: int) -> nn.Module:
    """Four hidden layers of 256."""
    sizes = [inputs, 256, 256, 256, 256]
    hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(256, outputs), *([nn.Flatten(0)] if outputs == 1 else []))


def by_hand(ranks: Ranks, start: cp.Params, game: Any) -> tuple[Callable[[], None], Callable[[], torch.Tensor]]:
    """A step of DistributedDataParallel, and the parameters."""
    nets = {"generator": network(64, 2), "discriminator": network(2, 1)}
    for i, net in nets.items():
        net.load_state_dict({k: x.clone() for k, x in zip(net.state_dict(), start[i].values(), strict=True)})
    G, D = (DistributedDataParallel(net) for net in nets.values())
    rules = [torch.optim.Adam(net.parameters(), lr=LR, fused=True) for net in (G, D)]
    rng = torch.Generator().manual_seed(1)

    def step() -> None:
        batch = game.sample(rng, {})
        real, noise = (batch[k].chunk(ranks.count)[ranks.rank] for k in ("real", "noise"))
        for rule in rules:
            rule.zero_grad()
        fake = G(noise)
        (softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()).backward()
        D.module.requires_grad_(False)
        softplus(-D.module(fake)).mean().backward()
        D.module.requires_grad_(True)
        for rule in rules:
            rule.step()

    return step, lambda: torch.cat([p.detach().reshape(-1) for net in nets.values() for p in net.parameters()])


def ours(game: Evaluator, start: cp.Params, solver: Any) -> tuple[Callable[[], None], Callable[[], torch.Tensor]]:
    """A step of ``solver`` on ``game``, and the parameters."""
    state = [start, solver.init(game, start)]
    rngs = [torch.Generator().manual_seed(1)]

    def step() -> None:
        state[:] = solver.step(game, *state, lambda: game.draw(rngs, {}))[:2]

    return step, lambda: ravel(state[0])


def measured(ranks: Ranks, turns: int, steps: int) -> Figures:
    """Medians of turns: ratios of a step of ours to one by hand, and to one of a single process."""
    game = cp.make("game", "mixture", loss="non-saturating")
    whole = Evaluator(game, trace=True)
    split = SplitEvaluator.over(ranks, Evaluator(game, trace=True))
    with torch.no_grad():
        start, _ = whole.start(whole.generators(0))
    simgd, acgd = cp.make("solver", "simgd", lr=LR, rule="adam"), cp.make("solver", "acgd", lr=LR)
    ways = {
        "DistributedDataParallel": by_hand(ranks, start, game), "simgd": ours(split, start, simgd),
        "simgd, one process": ours(whole, start, simgd), "acgd": ours(split, start, acgd),
        "acgd, one process": ours(whole, start, acgd),
    }  # fmt: skip
    clock: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):  # the first turn traces, and is not counted
        for name, (step, _) in ways.items():
            count = steps if name[0] != "a" else max(1, steps // 10)
            with torch.set_grad_enabled(name == "DistributedDataParallel"):
                torch.distributed.barrier()
                began = time.perf_counter(), time.process_time()
                for _ in range(count):
                    step()
                ended = time.perf_counter(), time.process_time()
            if turn:
                clock[name].append((ended[0] - began[0]) / count)
                processor[name].append((ended[1] - began[1]) / count)
        if not turn:
            apart = float((ways["simgd"][1]() - ways["DistributedDataParallel"][1]()).abs().max())
    found = {"parameters apart after the first turn, in steps of lr": apart / LR}
    for what, times in (("clock", clock), ("processor", processor)):
        median = {name: statistics.median(values) for name, values in times.items()}
        found[f"DistributedDataParallel, ms, {what}"] = 1e3 * median["DistributedDataParallel"]
        found[f"simgd / DistributedDataParallel, {what}"] = median["simgd"] / median["DistributedDataParallel"]
        for name in ("simgd", "acgd"):
            found[f"{name}: two processes / one, {what}"] = median[name] / median[f"{name}, one process"]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few steps, and no record")
    quick = parser.parse_args().quick
    figures = on_processes(2, measured, *((2, 5) if quick else (5, 12)))[0]
    for name, figure in figures.items():
        print(f"{name:<70} {figure:.4g}")
    if not quick:
        keep("parallel", figures)
