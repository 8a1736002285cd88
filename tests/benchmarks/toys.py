"""Compiled toys beside the autograd loops one writes by hand, trajectories recorded by both.

    python tests/benchmarks/toys.py [--quick]

By hand a row of numbers is appended to a list at every step. Ours goes to an HDF5 log on disk, with gradient and
parameter norms and all else that a log has; for the projection game also to memory only, as compressing the 9 KiB that
twenty members have a step takes most of the time. CPU seconds on one thread, those of the C compiler among them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import keep
from torch import Tensor

import counterplay as cp

STEPS = 1_000_000
LR = {"x": 0.09, "y": 0.01}
SOLVERS: dict[str, dict[str, Any]] = {  # by hand, by name
    "simgd": {},
    "altgd": {},
    "extragradient": {},
    "past-extragradient": {},
    "ogda": {},
    "simgd momentum": {"rule": {"name": "momentum", "beta": -0.3}},
    "simgd adam": {"rule": "adam"},
}


def cpu() -> float:
    """Seconds of this process and of those it started."""
    return sum(os.times()[:4])


def quadratic_by_hand(name: str) -> Callable[[], None]:
    """One step of a method on a x^2 + b xy + c y^2, its losses and its point recorded."""
    x = torch.randn(1, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, dtype=torch.float64, requires_grad=True)
    rows: list[tuple[float, float, float]] = []
    rates = (LR["x"], LR["y"])
    last = [torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)]
    moments = [last[0].clone(), last[1].clone()]
    adam = [torch.optim.Adam([z], lr=rate) for z, rate in zip((x, y), rates, strict=True)]

    def f() -> Tensor:
        return (x * x + 10.0 * x * y + y * y).sum()

    def field() -> tuple[Tensor, Tensor]:
        value = f()
        gx, gy = torch.autograd.grad(value, (x, y))
        rows.append((value.item(), x.item(), y.item()))
        return gx, -gy

    def move(g: tuple[Tensor, Tensor]) -> None:
        with torch.no_grad():
            x.sub_(rates[0] * g[0])
            y.sub_(rates[1] * g[1])

    def simgd() -> None:
        move(field())

    def altgd() -> None:
        value = f()
        rows.append((value.item(), x.item(), y.item()))
        (gx,) = torch.autograd.grad(value, x)
        with torch.no_grad():
            x.sub_(rates[0] * gx)
        (gy,) = torch.autograd.grad(-f(), y)
        with torch.no_grad():
            y.sub_(rates[1] * gy)

    def extragradient() -> None:
        here = x.detach().clone(), y.detach().clone()
        move(field())
        ahead = torch.autograd.grad(f(), (x, y))
        with torch.no_grad():
            x.copy_(here[0] - rates[0] * ahead[0])
            y.copy_(here[1] + rates[1] * ahead[1])

    def past() -> None:
        here = x.detach().clone(), y.detach().clone()
        move((last[0], last[1]))
        last[:] = field()
        with torch.no_grad():
            x.copy_(here[0])
            y.copy_(here[1])
        move((last[0], last[1]))

    def ogda() -> None:
        g = field()
        move((2 * g[0] - last[0], 2 * g[1] - last[1]))
        last[:] = g

    def momentum() -> None:
        g = field()
        moments[:] = [-0.3 * m + d for m, d in zip(moments, g, strict=True)]
        move((moments[0], moments[1]))

    def with_adam() -> None:
        x.grad, y.grad = field()
        for optimizer in adam:
            optimizer.step()

    return {
        "simgd": simgd, "altgd": altgd, "extragradient": extragradient, "past-extragradient": past, "ogda": ogda,
        "simgd momentum": momentum, "simgd adam": with_adam,
    }[name]  # fmt: skip


def projection_by_hand() -> Callable[[], None]:
    """One step of simgd on the projection game, 28 numbers a player, its losses and its point recorded."""
    game = cp.make("game", "projection")
    start = game.init(torch.Generator().manual_seed(0))
    G, D = ([x.requires_grad_() for x in start[i].values()] for i in ("generator", "discriminator"))
    data, eta = torch.tensor([[2.0, 2.0]], dtype=torch.float64), torch.tensor([1.0, 1e-2], dtype=torch.float64)
    rows: list[tuple[float, Tensor]] = []

    def discriminate(x: Tensor) -> Tensor:
        return (((x * eta @ D[0].T).arctan() @ D[1].T).arctan() @ D[2].T).arctan().sum()

    def step() -> None:
        t, s = G[2] @ (G[1] @ G[0].arctan()).arctan()
        s = s.arctan() / torch.pi
        made = torch.stack([s + t, s - t]).exp().unsqueeze(0)
        fake = discriminate(made)
        loss = fake - discriminate(data)
        g = torch.autograd.grad(-fake, G, retain_graph=True)
        d = torch.autograd.grad(loss, D)
        rows.append((loss.item(), torch.cat([x.detach().flatten() for x in (*G, *D)])))
        with torch.no_grad():
            for x, v in zip((*G, *D), (*g, *d), strict=True):
                x.sub_(0.01 * v)

    return step


def median(step: Callable[[], None], steps: int) -> float:
    """Seconds of a step: the median over twenty batches."""
    batch, found = max(1, steps // 20), []
    for _ in range(20):
        began = time.process_time()
        for _ in range(batch):
            step()
        found.append((time.process_time() - began) / batch)
    return statistics.median(found)


class Memory:
    """An observer that keeps the trajectory, the rows of many steps at once or one by one."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def __call__(self, seen: object) -> None:
        self.kept.append(seen)

    def rows(self, columns: dict[str, object]) -> None:
        self.kept.append((columns["losses"], columns["parameters"]))


def whole(game: cp.Game, solver: cp.Solver, steps: int, disk: bool = True, **asked: Any) -> float:
    """Seconds of a run recorded at every step, from nothing to the finished log."""
    with tempfile.TemporaryDirectory() as folder:
        where: dict[str, Any] = {"out": Path(folder, "run")} if disk else {"observers": [Memory()]}
        began = cpu()
        result = cp.run(game, solver, steps=steps, **where, **asked)
        seconds = cpu() - began
    assert not result.eager and result.steps == steps, result
    return seconds


def compiled(game: cp.Game, solver: cp.Solver, steps: int, rounds: int, **asked: Any) -> float:
    """Seconds of a step once compiled: what more steps add to a run."""
    found = []
    whole(game, solver, 100, compile=True, **asked)  # what is imported at first is not what a step costs
    for _ in range(rounds):
        short = whole(game, solver, steps // 10, compile=True, **asked)
        found.append((whole(game, solver, steps, compile=True, **asked) - short) / (steps - steps // 10))
    return statistics.median(found)


def break_even(game: cp.Game, solver: cp.Solver) -> float:
    """The number of steps at which a compiled run is as long as one of replayed graphs."""
    eager, fast = ([whole(game, solver, n, compile=c) for n in (500, 1500)] for c in (False, True))
    slope = (eager[1] - eager[0] - (fast[1] - fast[0])) / 1000
    return 500 + (fast[0] - eager[0]) / slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps, nothing recorded")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    steps, hand_steps, rounds = (100_000, 400, 1) if quick else (STEPS, 10_000, 3)
    game = cp.make("game", "quadratic")
    simgd = cp.make("solver", "simgd", lr=LR)
    # First, in a fresh process: what it takes to trace and compile is imported and counted, too.
    figures = {"quadratic simgd: whole run, s": whole(game, simgd, steps)}
    for name, options in SOLVERS.items():
        by_hand = median(quadratic_by_hand(name), hand_steps)
        ours = compiled(game, cp.make("solver", name.split()[0], lr=LR, **options), steps, rounds)
        figures[f"quadratic {name}: step by hand, us"] = by_hand * 1e6
        figures[f"quadratic {name}: by hand / compiled"] = by_hand / ours
    by_hand = figures["quadratic simgd: step by hand, us"] * 1e-6
    seconds = figures["quadratic simgd: whole run, s"]
    figures[f"quadratic simgd: by hand / whole run of {steps} steps"] = by_hand * steps / seconds
    figures["quadratic: steps from which compiling pays"] = break_even(game, simgd)
    projection, by_hand = cp.make("game", "projection"), median(projection_by_hand(), hand_steps)
    figures["projection: step by hand, us"] = by_hand * 1e6
    for disk, where in ((False, "in memory"), (True, "on disk")):
        ours = compiled(projection, cp.make("solver", "simgd", lr=0.01), steps // 20, rounds, members=20, disk=disk)
        figures[f"projection: by hand / compiled, a member of 20, {where}"] = by_hand / (ours / 20)
    for name, value in figures.items():
        print(f"{name:60s} {value:.3f}")
    if not quick:
        keep("toys", figures)


if __name__ == "__main__":
    main()
