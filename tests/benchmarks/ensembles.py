"""What the members of an ensemble cost: 1,024 beside one, and a stability map of 64 x 64 step sizes in one call.

    python tests/benchmarks/ensembles.py [--quick]

CPU seconds on one thread. A step of 1,024 members of the quadratic game, every member from its own seed, is held
against a step of one, both played step by step by replayed graphs; the map is one run of 4,096 members, recorded, and
its figure drawn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import keep

import counterplay as cp

MEMBERS, SIDE = 1024, 64
FIRST_ORDER: dict[str, dict[str, Any]] = {
    "simgd": {}, "altgd": {}, "extragradient": {}, "past-extragradient": {}, "ogda": {}, "simgd adam": {"rule": "adam"},
    "conopt": {"gamma": 0.1}, "jare": {"gamma": 0.1}, "sga": {}, "lola": {}, "sos": {}, "lcgd": {},
    "lookahead-minmax": {},
}  # fmt: skip
INNER_SOLVES: dict[str, dict[str, Any]] = {  # best-response has none: it tabulates losses, work for every member
    "cgd": {}, "acgd": {}, "implicit-euler": {}, "stackelberg": {}, "follow-the-ridge": {},
}  # fmt: skip


def cpu() -> float:
    return sum(os.times()[:4])


class StepTimes:
    """The time between two steps of a run, taken by an observer."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def __call__(self, seen: object) -> None:
        self.stamps.append(time.process_time())

    def median(self) -> float:
        skip = len(self.stamps) // 10
        return statistics.median(np.diff(self.stamps[skip:-1]))


def step(solver: cp.Solver, members: int | None, steps: int) -> float:
    """Seconds of a step, what the engine does around it included."""
    clock, game = StepTimes(), cp.make("game", "quadratic")
    result = cp.run(game, solver, steps=steps, members=members, trace=True, compile=False, observers=[clock])
    assert result.steps == steps, result
    return clock.median()


def ratio(solver: cp.Solver, steps: int, rounds: int) -> tuple[float, float]:
    """Seconds of a step of one, and how many times that the members take: medians over rounds taken in turns."""
    one, many = zip(*((step(solver, None, steps), step(solver, MEMBERS, steps)) for _ in range(rounds)), strict=True)
    return statistics.median(one), statistics.median(b / a for a, b in zip(one, many, strict=True))


def stability_map(steps: int) -> dict[str, float]:
    """Seconds of the run and of the figure, and the share of members that the spectrum of F' misjudges."""
    from counterplay.analysis.figures.plot import plot

    x, y = (s.flatten().tolist() for s in np.meshgrid(*[np.geomspace(1e-3, 0.3, SIDE)] * 2))
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr={"x": x, "y": y})
    with tempfile.TemporaryDirectory() as folder:
        out, began = Path(folder, "map"), cpu()
        result = cp.run(game, solver, steps=steps, members=len(x), every=10, spectrum_every=steps, out=out)
        ran = cpu()
        assert result.steps == steps, result
        plot("stability", out).savefig(Path(folder, "map.png"))
        drawn = cpu()
        rho = np.abs(cp.open_log(out)["spectrum/update_eigenvalues"][0]).max(axis=-1)
        norms = np.linalg.norm(cp.open_log(out)["step/gradient_norms"], axis=-1)  # (steps, members)
    grew = np.isin(np.arange(len(x)), result.diverged) | (norms[-1] > norms[len(norms) // 2])
    clear = np.abs(rho - 1) > 1e-2
    return {
        "map of 64 x 64: run, s": ran - began,
        "map of 64 x 64: figure, s": drawn - ran,
        "map of 64 x 64: misjudged by rho(F')": float(np.mean((rho > 1)[clear] != grew[clear])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing recorded")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds, steps = (1, 60) if quick else (5, 200)
    figures: dict[str, float] = {}
    for kind, solvers, most in (("first-order", FIRST_ORDER, 2.0), ("inner solve", INNER_SOLVES, 4.0)):
        for name, options in solvers.items():
            solver = cp.make("solver", name.split()[0], lr=0.001, **options)
            one, times = ratio(solver, steps, rounds)
            figures[f"{kind}, {name}: step of one, us"] = one * 1e6
            figures[f"{kind}, {name}: {MEMBERS} members / one (at most {most:g})"] = times
    figures |= stability_map(200)
    for name, value in figures.items():
        print(f"{name:60s} {value:.3f}")
    if not quick:
        keep("ensembles", figures)


if __name__ == "__main__":
    main()
