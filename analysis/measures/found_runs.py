"""Find the runs that paths mean: run directories, log files, and sweep directories with a run for each cell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import BadLog, StorageError, UsageError, UserError, did_you_mean
from ...core.log.sandbox import Sandbox
from ...core.log.schema import ENDED
from ...core.sweep.sweep_directory import SweepDirectory
from ..log.log import Log, open_log
from ..log.missing import missing

_TOLD = 10  # most runs that are named as unreadable


@dataclass(frozen=True)
class FoundRun:
    """One run that was named, or a cell of a sweep that was.

    name      what it is called in a table: its directory, or the settings of the cell
    settings  of a cell: axis -> value
    """

    path: Path
    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    def open(self, sandbox: bool | Sandbox = False) -> Log:
        """Its log, which has its name."""
        log = open_log(self.path, sandbox=sandbox)
        if self.settings:
            log.name, log.settings = self.name, self.settings
        return log


def is_sweep(path: str | Path) -> bool:
    """Whether ``path`` is the directory of a sweep."""
    return (Path(path) / "sweep.json").is_file()


def find_runs(paths: Iterable[str | Path]) -> list[FoundRun]:
    """The runs in the order given, of a sweep those of its cells that were begun.

    Raises UsageError where a sweep has none, BadLog where its sweep.json is damaged.
    """
    found = []
    for path in map(Path, paths):
        if not is_sweep(path):
            found.append(FoundRun(path, str(path)))
            continue
        sweep = SweepDirectory(path)
        cells = [(cell, path / "cells" / cell.name) for cell in sweep.cells()]
        begun = [FoundRun(at, _words(cell.settings), dict(cell.settings)) for cell, at in cells if _begun(at)]
        if not begun:
            raise UsageError(f"No cell of the sweep {path} has begun; counterplay sweep work {path} plays them.")
        found += begun
    return found


def unfinished(path: str | Path) -> str:
    """A sentence on a sweep some of whose cells have not ended; "" where all have, or ``path`` is no sweep."""
    if not is_sweep(path):
        return ""
    sweep = SweepDirectory(path)
    counts = Counter(sweep.state(cell.name).state for cell in sweep.cells())
    ended = sum(counts.pop(state, 0) for state in ENDED)
    others = ", ".join(f"{n} {state}" for state, n in counts.most_common())
    return f"{path}: {ended} of {ended + counts.total()} cells ended, {others}." if others else ""


def _begun(run: Path) -> bool:
    """Whether a cell has rows, or should have them."""
    return (run / "log.h5").is_file() or (run / "log").is_dir() or bool(missing(run))


def _words(settings: Mapping[str, Any]) -> str:
    """The settings of a cell as its name: ``cgd, lr=0.1, seed=3``."""
    parts = []
    for axis, x in settings.items():
        text = x if isinstance(x, str) else json.dumps(x, default=str)
        named = axis in ("game", "solver") and isinstance(x, str)
        parts.append(text if named else f"{axis.removeprefix('solver.').removeprefix('game.')}={text}")
    return ", ".join(parts) or "the one cell"


def open_runs(paths: Iterable[str | Path | Log], sandbox: bool | Sandbox = False) -> list[Log]:
    """The logs of the runs that ``paths`` mean; a log that is given stays as it is."""
    logs: list[Log] = []
    for path in paths:
        logs += [path] if isinstance(path, Log) else [run.open(sandbox) for run in find_runs([path])]
    return logs


def readable_runs(paths: Iterable[str | Path]) -> tuple[list[Log], dict[str, UserError]]:
    """The logs of the runs that ``paths`` mean, read in a sandbox; of the others, name -> why they cannot be read.

    Raises the first of these errors where no run can be read, and UsageError for a path that is no run.
    """
    logs, bad, reader = list[Log](), dict[str, UserError](), Sandbox()
    for run in find_runs(paths):
        try:
            log = run.open(reader)
            _ = log.run, log.status  # read now: else they are when they are looked up
            logs.append(log)
        except (BadLog, StorageError) as error:
            bad[run.name] = error
    if bad and not logs:
        raise next(iter(bad.values()))
    return logs, bad


def tell_unread(bad: Mapping[str, UserError], count: int) -> None:
    """Raise an error of the kind of the first, with a line on each, if there are any; ``count`` runs were asked for."""
    if bad:
        told = [str(why) if name in str(why) else f"{name}: {why}" for name, why in bad.items()]
        what = f"{len(bad)} of {count} runs cannot be read and {'is' if len(bad) == 1 else 'are'} left out."
        more = [f"… and {len(bad) - _TOLD} more"] * (len(bad) > _TOLD)
        raise type(next(iter(bad.values())))("\n".join([what, *told[:_TOLD], *more]))


def require_known(name: str, known: Sequence[str], what: str) -> None:
    """Raise UsageError unless ``name`` is among the ``known``."""
    if name not in known:
        raise UsageError(f"There is no {what} {name!r}{did_you_mean(name, known)} There are {', '.join(known)}.")
