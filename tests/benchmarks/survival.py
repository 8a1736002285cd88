"""What surviving costs: checkpoints every 100 steps, and recording every step, on the digits GAN.

    python tests/benchmarks/survival.py [--quick]

A checkpoint's cost is that of the steps which save one over the same steps of a run that saves none, taken in turns:
medians, in CPU time and by the clock, which counts waiting for the disk. The runs lie where temporary files do: set
TMPDIR to try a disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import Case, keep
from overhead import BETAS, LR, digits

import counterplay as cp

EVERY = 100
SOLVER = {"lr": LR, "rule": {"name": "adam", "betas": list(BETAS)}}


class Clock:
    """Stamps of CPU time and of the clock, one pair for each step."""

    def __init__(self) -> None:
        self.stamps: list[tuple[float, float]] = []

    def __call__(self, seen: object) -> None:
        self.stamps.append((time.process_time(), time.perf_counter()))

    def gaps(self) -> list[tuple[float, float]]:
        """What each step took, from the second on."""
        return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.stamps, self.stamps[1:], strict=False)]


def play(case: Case, steps: int, out: Path | None, every: int = 0) -> Clock:
    clock = Clock()
    solver = cp.make("solver", "simgd", **SOLVER)
    cp.run(case.game, solver, steps=steps, out=out, checkpoint_every=every, trace=True, observers=[clock])
    return clock


def checkpoints(case: Case, steps: int, folder: Path) -> tuple[float, float]:
    """The run's time with its checkpoints over its time without: CPU, clock."""
    ratios = []
    runs = [play(case, steps, folder / str(every), every).gaps() for every in (EVERY, 0)]
    for which in (0, 1):
        saving, same = (_median(gaps, which, steps, lambda step: step % EVERY == 0) for gaps in runs)
        plain = _median(runs[0], which, steps, lambda step: step % EVERY > 0)
        ratios.append(1 + (saving - same) / (EVERY * plain))
    return ratios[0], ratios[1]


def _median(gaps: list[tuple[float, float]], which: int, steps: int, chosen: Callable[[int], bool]) -> float:
    """Of the steps chosen, but for the first ones, the last, which always saves, and those that show samples."""
    steady = list(enumerate(gaps, 1))[EVERY // 2 : -1]
    return statistics.median(gap[which] for step, gap in steady if chosen(step) and step % (steps // 10))


def recording(case: Case, steps: int, folder: Path) -> tuple[float, float]:
    """A recorded step over one that is not, and all the time between first and last step, blocks included: CPU."""
    clocks = [play(case, steps, out) for out in (None, folder)]
    medians = [statistics.median(gap[0] for gap in clock.gaps()) for clock in clocks]
    whole = [clock.stamps[-2][0] - clock.stamps[steps // 10][0] for clock in clocks]
    return medians[1] / medians[0], whole[1] / whole[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, nothing recorded")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    case, rounds, steps = digits(), 2 if quick else 7, 3000 if quick else 7000
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in range(rounds):
            (home := Path(folder, f"checkpoints-{n}")).mkdir()
            cpu, clock = checkpoints(case, steps, home)
            median, whole = recording(case, steps, Path(folder, f"recording-{n}"))
            for name, value in (
                (f"digits: a checkpoint every {EVERY} steps / none, CPU", cpu),
                (f"digits: a checkpoint every {EVERY} steps / none, clock", clock),
                ("digits: recorded every step / not, medians", median),
                ("digits: recorded every step / not, whole runs", whole),
            ):
                found.setdefault(name, []).append(value)
    figures = {name: statistics.median(values) for name, values in found.items()}
    for name, value in figures.items():
        print(f"{name:60s} {value:.4f}")
    if not quick:
        keep("survival", figures)


if __name__ == "__main__":
    main()
