"""What ``counterplay reproduce`` does: plays the runs of experiments that are not there yet, and measures all of them.

Everything is in one folder: ``cells`` with a run directory for each run, named by the digest of its settings;
``computed`` with what needed no run, named by the digest of the code; and results.json. What is done is read from the
disk alone, so that it goes on after an end at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..experiments.experiment import Computed, Experiment, Scale
from ..experiments.results import Results, not_run, results
from ..experiments.run_log import RunLog
from ..log.schema import ENDED
from ..registry import experiment as config
from ..registry import registry
from ..registry.build import build, completed
from ..registry.source_digest import own_sha256
from ..storage.atomic import write_atomic
from ..storage.run_directory import RunDirectory
from ..storage.strict_json import dumps, loads
from .run import settings_of

Stop = Callable[[], bool]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One run: its settings complete, its name, which is the digest of them, and the names of runs it waits for."""

    table: Mapping[str, Any]
    digest: str
    directory: Path

    @property
    def ended(self) -> bool:
        """Whether it was played to its end."""
        return RunDirectory(self.directory).status().get("state") in ENDED


def cells_of(experiment: Experiment, scale: Scale, folder: Path, device: str) -> dict[str, Cell]:
    """The runs of an experiment, each after those that it starts from. Raises UserError if one cannot be made."""
    cells: dict[str, Cell] = {}
    for name, asked in experiment.runs(scale).items():
        table = {"device": device, **{key: x for key, x in asked.items() if key != "after"}}
        given = config.resolve(table)
        objects = build(given)
        full = config.to_table(completed(given, *objects))
        known: Any = {key: x for key, x in full.items() if key not in ("out", "start")}
        if (before := asked.get("after")) is not None:
            known = known | {"after": cells[before].digest}
            full = full | {"start": str(cells[before].directory)}
        from ..provenance.environment import sources

        origins = sources([objects[0], objects[1], *objects[2]])["origins"]  # of plugins: the digest of their code
        digest = _digest([known, origins])
        cells[name] = Cell(full, digest, folder / "cells" / digest)
    return cells


def play(cell: Cell, stop: Stop) -> None:
    """Play a run, or go on with it, to its end or until ``stop()``. Raises UserError."""
    from ..run.engine import run
    from ..run.resume import resume

    if RunDirectory(cell.directory).run():
        resume(cell.directory, stop=stop)
        return
    experiment = config.resolve(dict(cell.table))
    game, solver, regularizers = build(experiment)
    run(game, solver, out=cell.directory, experiment=cell.table, stop=stop, **settings_of(experiment, regularizers))


def computed_by(experiment: Experiment, scale: Scale, folder: Path) -> Computed:
    """What the experiment computes without a run, from the disk if the same code has computed it before."""
    plugins = [plugin.sha256(type(experiment)) for plugin in registry.REGISTRY.plugins]
    path = folder / "computed" / f"{_digest([registry.settings(experiment), scale, own_sha256(), plugins])}.json"
    if not (found := loads(path)):
        found = {"computed": experiment.compute(scale)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, dumps(found).encode())
    return dict(found["computed"])


def reproduce(
    experiments: Mapping[str, Experiment], scale: Scale, folder: Path, device: str, stop: Stop, tell: Tell
) -> Iterator[Results]:
    """Play and measure experiments one after another. It ends early, without a result, when ``stop()`` is true."""
    for name, experiment in experiments.items():
        why = experiment.missing(device)
        try:
            cells = {} if why else cells_of(experiment, scale, folder, device)
            for run, cell in cells.items():
                if not cell.ended and not stop():
                    tell(f"{name}: {run}")
                    play(cell, stop)
                if stop():
                    return
            if not why:
                logs = {run: RunLog(cell.directory) for run, cell in cells.items()}
                found = results(name, experiment, logs, computed_by(experiment, scale, folder))
                runs = {run: {"directory": f"cells/{cell.digest}", **cell.table} for run, cell in cells.items()}
                yield found | {"runs": runs, "seconds": sum(map(_seconds, logs.values()))}
                continue
        except UserError as error:
            why = str(error)
        yield not_run(name, experiment, why) | {"runs": {}, "seconds": None}


def _seconds(log: RunLog) -> float:
    """How long a run took, by the clock."""
    status = log.status
    return float(status.get("updated_seconds", 0.0)) - float(status.get("started_seconds", 0.0))


def _digest(value: Any) -> str:
    """The first 24 figures of the SHA-256 digest of plain data."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
