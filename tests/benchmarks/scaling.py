"""How time, memory, messages, logs and sweeps grow: ``python tests/benchmarks/scaling.py [--quick] [--keep]``.

Each series is one quantity against another, as milliseconds of a step against parameters. Its slope is that of a line
through the upper half of its points on log-log axes. Steps are timed by the processor, messages and sweeps by the
clock. It takes some minutes on two idle cores; ``--keep`` appends series, slopes and counts of messages to
``record.jsonl``, from which the page of the documentation is made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import keep
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import counterplay as cp
from counterplay.analysis.measures.found_runs import find_runs
from counterplay.analysis.measures.run_table import run_table
from counterplay.core.collective import Ranks
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel
from counterplay.core.parallel.member_solver import MemberSolver
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.parallel.split_evaluator import SplitEvaluator
from counterplay.core.run.engine import initial_state
from counterplay.core.run.settings import Settings
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.sweep_directory import SweepDirectory

Series = dict[str, dict[int, float]]  # "quantity against another: of what" -> its points
gan = lambda hidden, batch=64: cp.make("game", "mixture", hidden=hidden, layers=2, batch=batch)  # noqa: E731
METHODS: dict[str, Any] = {
    "simgd, adam": cp.make("solver", "simgd", lr=1e-4, rule="adam"),
    "extragradient": cp.make("solver", "extragradient", lr=1e-4),
    "conopt": cp.make("solver", "conopt", lr=1e-4),
    "cgd": cp.make("solver", "cgd", lr=1e-3, tol=1e-2),
}


def begun(game: cp.Game, solver: Any, members: int | None = None, trace: bool = False) -> tuple[Evaluator, Any]:
    """An evaluator of the game, and the first state of a run."""
    evaluator = Evaluator(game, members, torch.float64, trace=trace)
    return evaluator, initial_state(evaluator, solver, Settings(members=members))


def stepper(game: Evaluator, state: Any, solver: Any) -> Callable[[], None]:
    """One step after another."""
    now, rngs = [state.params, state.memory], state.generators()

    def step() -> None:
        now[:] = solver.step(game, *now, lambda: game.draw(rngs, state.buffers))[:2]

    return step


def shared(ranks: Ranks, solver: Any, game: Evaluator, state: Any) -> Callable[[], None]:
    """As stepper, by processes that share the members, or without members the batch."""
    if game.members is None:
        return stepper(SplitEvaluator.over(ranks, game), state, solver)
    return stepper(game, state, MemberSolver.over(ranks, solver, game, state))


def milliseconds(step: Callable[[], None], seconds: float) -> float:
    """The least time of a step, in turns that take about so long in all."""
    step()
    times, until = list[float](), time.process_time() + seconds
    while time.process_time() < until or len(times) < 3:
        began = time.process_time()
        step()
        times.append(1e3 * (time.process_time() - began))
    return min(times)


def clocked(step: Callable[[], Any], count: int) -> float:
    """The least milliseconds of a step, by the clock; the first is not counted."""
    times = []
    for _ in range(count + 1):
        began = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - began))
    return min(times[1:])


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that operations have made and that are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.peak, self.held = 0, dict[int, tuple[StorageWeakRef, int]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                self.held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.held = {key: kept for key, kept in self.held.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))
        return out


def parameters(widths: Sequence[int], seconds: float) -> Series:
    """Time and memory of a step against parameters: networks with two hidden layers, batch 64, float64."""
    found: Series = {}
    for hidden in widths:
        for name, solver in METHODS.items():
            game, state = begun(gan(hidden), solver, trace=True)
            n, step = ravel(state.params).numel(), stepper(game, state, solver)
            found.setdefault(f"step, ms, against parameters: {name}", {})[n] = milliseconds(step, seconds)
            game, state = begun(gan(hidden), solver)
            step = stepper(game, state, solver)
            with Live() as live:
                step()
            found.setdefault(f"memory, MB, against parameters: {name}", {})[n] = live.peak / 1e6
    return found


def members(counts: Sequence[int], seconds: float) -> Series:
    """Time of a step against members, of two numbers each and of small networks."""
    found: Series = {}
    for count in counts:
        for what, game in (("quadratic", cp.make("game", "quadratic")), ("networks of 16", gan(16))):
            evaluator, state = begun(game, METHODS["simgd, adam"], count, trace=True)
            step = stepper(evaluator, state, METHODS["simgd, adam"])
            found.setdefault(f"step, ms, against members: {what}", {})[count] = milliseconds(step, seconds)
    return found


def logs(rows: Sequence[int], counts: Sequence[int], folder: Path) -> Series:
    """Size of a log against its rows, and against members."""
    game, solver = cp.make("game", "quadratic"), METHODS["simgd, adam"]
    found: Series = {"log, kB, against rows: quadratic": {}, f"log, kB, against members: {rows[0]} rows": {}}
    for number, (steps, count) in enumerate([*((n, None) for n in rows), *((rows[0], n) for n in counts)]):
        cp.run(game, solver, steps=steps, members=count, out=folder / f"log-{number}", progress=False)
        series = list(found.values())[count is not None]
        series[steps if count is None else count] = (folder / f"log-{number}" / "log.h5").stat().st_size / 1e3
    return found


def cells(planned: Sequence[int], tabled: Sequence[int], folder: Path) -> Series:
    """Time of planning a sweep, of listing what waits, and of the table of finished cells."""
    found: Series = {}

    def lap(what: str, count: int, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = act()
        found.setdefault(f"{what}, ms, against cells", {})[count] = 1e3 * (time.perf_counter() - began)
        return made

    for count in planned:
        sweep, asked = SweepDirectory(folder / f"sweep-{count}"), {"game": "quadratic", "solver": "simgd", "steps": 500}
        made = lap("plan", count, lambda: sweep.plan(grid(asked, {"seed": range(count)})))  # noqa: B023
        assert len(lap("list", count, lambda: sweep.waiting(made))) == count  # noqa: B023
        if count in tabled:
            game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
            first = sweep.directory(made[0].name)
            cp.run(game, solver, steps=500, out=first, progress=False)
            for cell in made[1:]:
                shutil.copytree(first, sweep.directory(cell.name))
            runs = find_runs([sweep.path])
            assert len(lap("table", count, lambda: run_table(runs, sandbox=True))) == count  # noqa: B023
    return found


def messages(ranks: Ranks, sizes: Sequence[int]) -> dict[int, float]:
    """The least milliseconds of a sum over processes, by its bytes, by the clock."""
    return {n: clocked(partial(ranks.sum, torch.ones(n // 8, dtype=torch.float64)), 12) for n in sizes}


def step_of(ranks: Ranks, steps: int) -> dict[str, float]:
    """The least milliseconds of a step, by the clock, of processes that share the batch, or the members."""
    found = dict[str, float]()
    for how, count in (("batch of 256", None), ("8 members", 8)):
        with torch.no_grad():
            game, state = begun(gan(128, 256), METHODS["simgd, adam"], count, trace=True)
            found[how] = clocked(shared(ranks, METHODS["simgd, adam"], game, state), steps)
    return found


def processes(counts: Sequence[int], steps: int) -> Series:
    """Time of a step against processes."""
    found = {count: on_processes(count, step_of, steps)[0] for count in counts}
    return {f"step, ms, against processes: {how}": {n: found[n][how] for n in counts} for how in found[counts[0]]}


@dataclass(eq=False)
class Counted(Ranks):
    """The first of two processes, whose messages are counted and go nowhere."""

    sent: int = 0
    sent_bytes: int = 0

    def sum(self, x: Tensor) -> Tensor:
        self.sent, self.sent_bytes = self.sent + 1, self.sent_bytes + x.numel() * x.element_size()
        return x.clone()

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        self.sent, self.sent_bytes = self.sent + 1, self.sent_bytes + rows.numel()
        return torch.cat([rows, rows])


def counted(hidden: int) -> dict[str, float]:
    """Messages of a step, and their bytes in multiples of the parameters': a share of the batch, or of the members."""
    found: dict[str, float] = {}
    for name in ("simgd", "altgd", "extragradient", "ogda", "conopt", "jare", "sga", "cgd", "acgd", "lola"):
        solver = cp.make("solver", name)
        for how, count in (("batch", None), ("members", 2)):
            game, state = begun(gan(hidden), solver, count)
            ranks, n = Counted(0, 2), ravel(state.params).numel()
            step = shared(ranks, solver, game, state)
            step()
            ranks.sent = ranks.sent_bytes = 0
            step()
            found[f"messages, {how}: {name}"] = ranks.sent
            found[f"bytes of messages / bytes of parameters, {how}: {name}"] = ranks.sent_bytes / (8 * n / (count or 1))
    return found


def slope(points: Mapping[int, float]) -> float:
    """Of the line through the upper half of the points, on log-log axes."""
    x, y = np.log([*points.items()])[min(len(points) // 2, len(points) - 2) :].T
    return float(np.polyfit(x, y, 1)[0])


@dataclass(frozen=True)
class Points:
    """The points of the series."""

    seconds: float = 1.0  # of a point that is timed
    widths: Sequence[int] = (16, 32, 64, 128, 256, 512)
    members: Sequence[int] = (1, 4, 16, 64, 256, 1024, 4096)
    rows: Sequence[int] = (1000, 3000, 10_000, 30_000)
    logged: Sequence[int] = (2, 8, 32, 128)  # members
    planned: Sequence[int] = (100, 500, 2000, 10_000)  # cells
    tabled: Sequence[int] = (100, 500, 2000)
    decades: int = 8  # of the bytes of a message
    processes: Sequence[int] = tuple(2**k for k in range((os.cpu_count() or 1).bit_length()))
    steps: int = 20  # of several processes

    def measured(self) -> Series:
        """All series."""
        with torch.no_grad(), tempfile.TemporaryDirectory() as name:
            found = parameters(self.widths, self.seconds) | members(self.members, self.seconds)
            found |= logs(self.rows, self.logged, Path(name)) | cells(self.planned, self.tabled, Path(name))
            found |= processes(self.processes, self.steps)
            sizes = [8 * 10**k for k in range(1, self.decades)]
            return found | {"message, ms, against bytes: two processes": on_processes(2, messages, sizes)[0]}


QUICK = Points(0.1, (16, 64), (1, 16), (100, 1000), (2, 16), (50, 200), (50, 200), 5, (1, 2), 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small points")
    parser.add_argument("--keep", action="store_true", help="append the figures to the record")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    series = (QUICK if asked.quick else Points()).measured()
    with torch.no_grad():
        counts = counted(32)
    figures = {f"{name} | {x}": y for name, points in series.items() for x, y in points.items()}
    figures |= {f"slope of {name}": slope(points) for name, points in series.items()} | counts
    print("\n".join(f"{name:<75} {figure:.4g}" for name, figure in figures.items()))
    if asked.keep:
        keep("scaling", figures)
