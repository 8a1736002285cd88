"""The directory of a sweep. sweep.json says what is asked; what is done is read from the run directories alone.

    DIR/sweep.json      {"format": "counterplay-sweep", "version": 1,
                         "axes": {axis: [values]},                   what distinguishes cells, in the order given
                         "common": {...},                            the part of the experiment that all cells share
                         "cells": [{"name": sha256, "settings": {axis: value}, "experiment": {...}}, ...],
                         "folder": where relative paths in the experiments begin}
    DIR/cells/NAME/     the run directory of a cell, as of ``counterplay run --out``: run.json, status.json, log.h5.
                        A cell that was refused before its first step has a status.json only, with the reason.
    DIR/claims/NAME     who plays the cell now
    DIR/dropped/NAME    of a cell that successive halving has left where it stands: the step

A cell's whole experiment is ``common`` with its own ``experiment`` over it. sweep.json is replaced atomically, when
cells are added; cells are never removed. A float that JSON does not have is written {"float": "inf"}.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..errors import BadLog, StorageError, UsageError
from ..log.schema import ENDED
from ..storage.atomic import write_atomic
from ..storage.json_fields import Sum, checked
from ..storage.lock import held
from ..storage.run_directory import RunDirectory
from ..storage.safe_open import read_plain
from ..storage.strict_json import dumps, parse
from .cell import Cell, setting_of
from .claims import Claims

FORMAT, VERSION = "counterplay-sweep", 1
_LARGEST = 1 << 30  # bytes of a sweep.json


class _Entry(msgspec.Struct):
    name: Sum
    settings: dict[str, Any]
    experiment: dict[str, Any]


class _File(msgspec.Struct):
    """sweep.json."""

    format: str
    version: Annotated[int, Meta(ge=1)]
    axes: dict[str, list[Any]]
    common: dict[str, Any]
    cells: list[_Entry]
    folder: str


@dataclass(frozen=True)
class CellState:
    """Where a cell stands.

    state    "waiting", "running", "failed", "dropped" (by halving), or how its run ended: "converged", "max_steps",
             "not_converged", "diverged"
    step     the step of its newest checkpoint; 0 where there is none
    message  the reason, or ""
    seconds  from its first start to its newest change; 0.0 if it was never started
    """

    state: str
    step: int = 0
    message: str = ""
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether its run has ended, in whatever way but by an error."""
        return self.state in ENDED


class SweepDirectory:
    """The files of one sweep. Any number of processes, on any machine that sees the directory, may use it at once."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.abspath(path))  # cells are played in the folder of the sweep, which may be another
        self.claims = Claims(self.path / "claims")

    def directory(self, name: str) -> Path:
        """The run directory of a cell."""
        return self.path / "cells" / name

    def plan(self, cells: Iterable[Cell]) -> list[Cell]:
        """Add the cells that are not there yet, and return all cells of the sweep.

        Raises UsageError where the directory holds something else, StorageError where it cannot be used.
        """
        if self.path.exists() and not self._is_sweep() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(f"{self.path} exists and is no sweep; choose another --out or remove it.")
        self.claims.prepare()
        with open(self.path / ".lock", "a", encoding="ascii") as lock:  # of two that add cells, one waits
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read() if self._is_sweep() else []
            together = {cell.name: cell for cell in (*before, *cells)}
            if len(together) > len(before) or not before:
                self._write(list(together.values()))
        return self.cells()

    def cells(self) -> list[Cell]:
        """All cells, in the order in which they were planned. Raises UsageError where there is no sweep, BadLog."""
        if not self._is_sweep():
            raise UsageError(f"{self.path} is no sweep; give the --out of a counterplay sweep.")
        return self._read()

    @cached_property
    def folder(self) -> str:
        """The folder where relative paths in the experiments begin."""
        return str(self._file()["folder"])

    def state(self, name: str) -> CellState:
        """Where a cell stands, read from its run directory."""
        directory = RunDirectory(self.directory(name))
        try:
            status = directory.status()
        except BadLog as error:
            return CellState("failed", 0, str(error))
        step, message = int(status.get("step", 0)), str(status.get("reason", ""))
        seconds = float(status.get("updated_seconds", 0.0)) - float(status.get("started_seconds", 0.0))
        state = str(status.get("state", ""))
        if state in ENDED:
            return CellState(state, step, message, seconds)
        owner = self.claims.owner(name)
        if (owner is not None and owner.lives) or (status and held(directory.path)):
            return CellState("running", step, "", seconds)
        if state == "failed":
            return CellState("failed", step, message, seconds)
        return CellState("dropped" if self._dropped(name).exists() else "waiting", step, message, seconds)

    def drop(self, name: str, step: int | None) -> None:
        """Leave a cell where it stands, at ``step``; None: it waits again."""
        if step is not None:
            self._dropped(name).parent.mkdir(exist_ok=True)
            write_atomic(self._dropped(name), f"{step}\n".encode())
        else:
            self._dropped(name).unlink(missing_ok=True)

    def _dropped(self, name: str) -> Path:
        return self.path / "dropped" / name

    def waiting(self, cells: Iterable[Cell], failed: bool = False) -> list[Cell]:
        """Those of ``cells`` that wait to be played or to go on, and with ``failed`` that failed or were dropped."""
        wanted = ("waiting", "failed", "dropped") if failed else ("waiting",)
        return [cell for cell in cells if self.state(cell.name).state in wanted]

    def _is_sweep(self) -> bool:
        return (self.path / "sweep.json").is_file()

    def _file(self) -> dict[str, Any]:
        path = self.path / "sweep.json"
        try:
            found = parse(read_plain(path, _LARGEST))
        except ValueError as error:
            raise BadLog(f"{path} is not valid JSON ({error}); restore it.") from error
        except OSError as error:
            raise StorageError(f"Could not read {path}: {error.strerror or error}.") from error
        file = checked(found, path, _File)
        if file["format"] != FORMAT or file["version"] > VERSION:
            raise BadLog(
                f"{path} has the format {file['format']!r:.60} {file['version']}, expected {FORMAT} {VERSION}."
            )
        return file

    def _read(self) -> list[Cell]:
        file = self._file()
        common = _decoded(file["common"])
        cells = [Cell({**common, **_decoded(c["experiment"])}, _decoded(c["settings"])) for c in file["cells"]]
        for cell, entry in zip(cells, file["cells"], strict=True):
            if cell.name != entry["name"]:
                raise BadLog(f"{self.path / 'sweep.json'}: the cell {entry['name']} has another experiment than its "
                             "name says; restore the file.")  # fmt: skip
        return cells

    def _write(self, cells: list[Cell]) -> None:
        values = {axis: dict[str, Any]() for cell in cells for axis in cell.settings}
        entries = []
        first: Mapping[str, Any] = cells[0].experiment if cells else {}
        common = {k: x for k, x in first.items() if all(k in c.experiment and c.experiment[k] == x for c in cells)}
        for cell in cells:
            settings = {axis: _setting(cell, axis) for axis in values}
            for axis, x in settings.items():
                values[axis].setdefault(dumps(_encoded(x), indent=None), x)  # to search a list would take n² steps
            own = {k: x for k, x in cell.experiment.items() if k not in common}
            entries.append({"name": cell.name, "settings": settings, "experiment": own})
        axes = {axis: list(found.values()) for axis, found in values.items()}
        file = {"format": FORMAT, "version": VERSION, "axes": axes, "common": common, "folder": os.getcwd()}
        write_atomic(self.path / "sweep.json", dumps(_encoded({**file, "cells": entries}), indent=None).encode())


def _setting(cell: Cell, axis: str) -> Any:
    """A cell's value of an axis, also of one that was added to the sweep later."""
    return cell.settings[axis] if axis in cell.settings else setting_of(cell.experiment, axis)


def _encoded(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {k: _encoded(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_encoded(v) for v in x]
    return {"float": str(x)} if isinstance(x, float) and not math.isfinite(x) else x


def _decoded(x: Any) -> Any:
    if isinstance(x, Mapping):
        return float(x["float"]) if x.keys() == {"float"} else {k: _decoded(v) for k, v in x.items()}
    return [_decoded(v) for v in x] if isinstance(x, list) else x
