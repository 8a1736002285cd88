"""What ``counterplay reproduce`` does: plays the runs of experiments that are not there yet, and measures all of them.

Everything is in one folder: ``runs`` is a sweep with a cell for each run; ``computed`` has what needed no run, named by
the digest of the code; results.json, which the command writes, has the rest. What is done is read from the disk alone,
so that it goes on after an end at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..experiments.experiment import Computed, Experiment, Scale
from ..experiments.results import Results, not_run, results
from ..experiments.run_log import RunLog
from ..provenance.environment import sources
from ..registry import registry
from ..registry.build import Completion, build
from ..registry.experiment import Table, resolve
from ..registry.source_digest import own_sha256
from ..storage.atomic import write_atomic
from ..storage.strict_json import dumps, loads
from ..sweep.cell import Cell
from ..sweep.sweep_directory import SweepDirectory
from ..sweep.work import Work
from .play_cell import play_cell

Stop = Callable[[], bool]
Tell = Callable[[str], None]
Execute = Callable[[Work, Sequence[Cell], Callable[[Cell, str], None], Stop], None]

_BEFORE = "cell:"  # before the name of the cell from whose last parameters a run starts


@dataclass
class Planned:
    """The runs of one experiment, by name, each after those that it starts from; or why there are none."""

    experiment: Experiment
    cells: dict[str, Cell] = field(default_factory=dict)
    why: str = ""


def planned(experiment: Experiment, scale: Scale, device: str) -> Planned:
    """The runs of an experiment as cells of a sweep. Nothing is played."""
    plan = Planned(experiment, why=experiment.missing(device))
    completion = Completion()
    try:
        for name, asked in {} if plan.why else experiment.runs(scale).items():
            table = {"device": device, **{key: x for key, x in asked.items() if key != "after"}}
            if (before := asked.get("after")) is not None:
                table["start"] = _BEFORE + plan.cells[before].name
            given = resolve(table)
            game, solver, regularizers = build(given)
            whole = completion(given)
            if any(x["source"] != registry.BUILT_IN for x in sources([game, solver, regularizers])["origins"]):
                files = [p.file for p in registry.REGISTRY.plugins if p.file and p.source.startswith("file ")]
                whole |= {"plugins": files}
            plan.cells[name] = Cell(whole)
    except UserError as error:
        return Planned(experiment, why=str(error))
    return plan


def play_run(directory: Path, experiment: Table) -> None:
    """Play a cell; one that starts where another one ended finds that one beside it."""
    start = experiment.get("start")
    if isinstance(start, str) and start.startswith(_BEFORE):
        experiment = experiment | {"start": str(directory.parent / start.removeprefix(_BEFORE))}
    play_cell(directory, experiment)


def reproduce(
    experiments: Mapping[str, Experiment],
    scale: Scale,
    folder: Path,
    device: str,
    execute: Execute,
    stop: Stop = lambda: False,
    tell: Tell = lambda line: None,
) -> Iterator[Results]:
    """Play all runs that are not there yet, then measure one experiment after another; none if ``stop()`` was true."""
    plans = {name: planned(experiment, scale, device) for name, experiment in experiments.items()}
    sweep = SweepDirectory(folder / "runs")
    names = {cell.name: f"{name}: {run}" for name, plan in plans.items() for run, cell in plan.cells.items()}
    cells = {cell.name: cell for plan in plans.values() for cell in plan.cells.values()}
    if cells:
        sweep.plan(cells.values())
        _play(sweep, cells, names, execute, stop, tell)
    for name, plan in plans.items():
        if stop():
            return
        yield _measured(name, plan, sweep, scale, folder)


def _play(
    sweep: SweepDirectory, cells: Mapping[str, Cell], names: Mapping[str, str], execute: Execute, stop: Stop, tell: Tell
) -> None:
    """Play the cells that are not done: first those that start from no other one, then those that start from these."""
    work, left = Work(sweep, play_run, retry=True), dict(cells)
    while left and not stop():
        ready = [c for c in left.values() if str(c.experiment.get("start")).removeprefix(_BEFORE) not in left]
        due = sweep.waiting(ready, failed=True)
        execute(work, due, lambda cell, state: tell(f"{names[cell.name]}: {state}"), stop)
        left = {name: cell for name, cell in left.items() if cell not in ready}


def _measured(name: str, plan: Planned, sweep: SweepDirectory, scale: Scale, folder: Path) -> Results:
    """The results of one experiment, whose runs have been played."""
    states = {run: sweep.state(cell.name) for run, cell in plan.cells.items()}
    broken = next((f"{run}: {s.message or s.state}" for run, s in states.items() if not s.is_done), "")
    why = plan.why or broken
    runs = {run: {"directory": f"runs/cells/{c.name}", **c.experiment} for run, c in plan.cells.items()}
    try:
        if not why:
            logs = {run: RunLog(sweep.directory(cell.name)) for run, cell in plan.cells.items()}
            found = results(name, plan.experiment, logs, _computed(plan.experiment, scale, folder))
            return found | {"runs": runs, "seconds": sum(state.seconds for state in states.values())}
    except UserError as error:
        why = str(error)
    return not_run(name, plan.experiment, why) | {"runs": runs, "seconds": None}


def _computed(experiment: Experiment, scale: Scale, folder: Path) -> Computed:
    """What the experiment computes without a run, from the disk if the same code has computed it before."""
    plugins = [plugin.sha256(type(experiment)) for plugin in registry.REGISTRY.plugins]
    text = json.dumps([registry.settings(experiment), scale, own_sha256(), plugins], sort_keys=True)
    path = folder / "computed" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    if not (found := loads(path)):
        found = {"computed": experiment.compute(scale)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, dumps(found).encode())
    return dict(found["computed"])
