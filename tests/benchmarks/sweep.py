"""What a sweep costs beyond its runs: ``python tests/benchmarks/sweep.py``. About five minutes on two idle cores.

The same cells are played by ``Local(2)`` and bare: by ``cp.run`` in a pool of two processes.
Both take turns, a part of the cells at a time, so that other work on the machine meets both. Then 10,000 cells are
planned and listed. The record has the times and their ratio, which should be at most 1.15.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

from common import keep

import counterplay as cp
from counterplay.core.cli.play_cell import play_cell
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.local import Local
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work

WORKERS, TURNS = 2, 4
BASE = {"game": "quadratic", "solver": "simgd", "steps": 500}


def bare(lr: float, seed: int, out: Path) -> str:
    import torch

    torch.set_num_threads(1)
    solver = cp.make("solver", "simgd", lr=lr)
    return cp.run(cp.make("game", "quadratic"), solver, steps=BASE["steps"], seed=seed, out=out).status  # type: ignore[arg-type]


def compare(count: int, folder: Path) -> dict[str, float]:
    """The seconds of ``count`` cells as a sweep and as bare runs, start of the processes included."""
    sweep = SweepDirectory(folder / "sweep")
    cells = sweep.plan(grid(BASE, {"solver.lr": [0.01, 0.02], "seed": range(count // 2)}))
    work, context = Work(sweep, play_cell), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([play_cell.__module__])
    as_sweep, as_runs = 0.0, time.perf_counter()
    with context.Pool(WORKERS) as pool:
        pool.starmap(bare, [(0.01, n, folder / f"warm-{n}") for n in range(WORKERS)])
        as_runs = 0.0
        for turn in range(TURNS):
            part: list[Cell] = cells[turn::TURNS]
            began = time.perf_counter()
            Local(WORKERS)(work, part)
            as_sweep += time.perf_counter() - began
            asked = [(c.settings["solver.lr"], c.settings["seed"], folder / c.name) for c in part]
            began = time.perf_counter()
            statuses = pool.starmap(bare, asked, chunksize=1)
            as_runs += time.perf_counter() - began
            assert set(statuses) == {"max_steps"} == {sweep.state(c.name).state for c in part}
            print(f"{turn + 1} of {TURNS}: sweep {as_sweep:.1f} s, bare {as_runs:.1f} s: {as_sweep / as_runs:.3f}")
    return {"cells": count, "sweep_seconds": as_sweep, "bare_seconds": as_runs, "ratio": as_sweep / as_runs}


def plan(count: int, folder: Path) -> dict[str, float]:
    """The seconds of planning ``count`` cells and of listing those that wait."""
    sweep, began = SweepDirectory(folder / "large"), time.process_time()
    cells = sweep.plan(grid(BASE, {"solver.lr": [0.01, 0.02], "seed": range(count // 2)}))
    planned = time.process_time()
    assert len(sweep.waiting(cells)) == count
    return {"planned_cpu_seconds": planned - began, "listed_cpu_seconds": time.process_time() - planned}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="append the figures to the record")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = compare(asked.cells, Path(name)) | plan(10_000, Path(name))
    print(figures)
    if asked.keep:
        keep("sweep", figures)
