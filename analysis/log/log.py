"""Open a log and read its variables when they are looked up, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import notebook
from ...core.errors import BadLog, StorageError, UsageError, did_you_mean
from ...core.log import hdf5
from ...core.log.blocks import Files, Pieces, column, pieces_of, whole
from ...core.log.sandbox import MOST, Sandbox
from ...core.log.schema import GROUPS, Variable
from ...core.storage.json_fields import Run, checked
from ...core.storage.lock import held
from ...core.storage.run_directory import RunDirectory
from ...core.storage.strict_json import parse
from .missing import missing

if TYPE_CHECKING:
    import pandas
    import xarray


def open_log(path: str | Path, *, sandbox: bool | Sandbox = False) -> Log:
    """Open a run directory, finished or under way, or a single log file.

    With ``sandbox`` another process reads the HDF5 files, with limits of memory and time; use it for logs of unknown
    origin. A file that makes its reader hang or crash then raises BadLog, as other damage does.

    Raises UsageError where there is no log, BadLog where it is damaged or unsafe, StorageError where it cannot be read.
    """
    path = Path(path)
    files: Files = (Sandbox() if sandbox is True else sandbox) or hdf5
    try:
        if path.is_dir():
            if path.name == "log" and not (path / "run.json").exists() and any(path.glob("*.h5")):
                path = path.parent  # the folder of blocks itself
            if not any((path / name).exists() for name in ("run.json", "log.h5", "log")):
                raise UsageError(f"{path} is not a run directory: it has no run.json, log.h5 or log/.")
            found = Log(path, *_settled(path, files), files)
            if lost := missing(path):
                raise BadLog(lost)
            return found
        if not path.exists():
            raise UsageError(f"There is no {path}; give a run directory or a log file.")
        real = path.resolve() if path.is_symlink() else path  # a link that the user named may be followed
        return Log(path, [(real, files.contents(real))], None, files)
    except OSError as error:
        raise StorageError(f"Could not read {path}: {error.strerror or error}.") from error


def _settled(directory: Path, files: Files) -> tuple[Pieces, RunDirectory]:
    """List the pieces of a directory. If a writer merges blocks at the same time, list them again."""
    for _ in range(5):
        try:
            return pieces_of(directory, files), RunDirectory(directory)
        except FileNotFoundError:
            continue
    raise StorageError(f"The files of {directory} kept vanishing while they were opened; try again.")


class Log(Mapping[str, np.ndarray]):
    """A log as a mapping from "group/variable" to numpy arrays, which are read from the disk when they are looked up.

    It has the rows that were sealed when it was opened; open it again to see later ones.
    """

    def __init__(self, path: Path, pieces: Pieces, directory: RunDirectory | None, files: Files = hdf5) -> None:
        self.path = path
        self._pieces = pieces
        self._directory = directory
        self._files = files
        self.settings: dict[str, Any] = {}  # of a cell of a sweep: what distinguishes it from the others
        self.name = path.stem if path.suffix == ".h5" else path.resolve().name  # in titles and legends

    def __repr__(self) -> str:
        rows = ", ".join(f"{group}: {self.length(group)}" for group in self.groups)
        return f"<Log {self.path} ({rows or 'no rows yet'})>"

    def _repr_html_(self) -> str:
        """A table of the variables, for notebooks."""
        rows = [(key, self.shape(key), ", ".join(v.dims), v.long_name) for key, v in self.variables.items()]
        return notebook.table(f"{self.path}", rows, ("variable", "shape", "axes", "what it is"))

    def __getitem__(self, key: str) -> np.ndarray:
        return self.read(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the variable
        return key in self.variables

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The axes, units and meaning of each "group/variable" of the log."""
        merged: dict[str, Variable] = {}
        for _, found in self._pieces:
            merged = {**found.variables, **merged}
        order = list(GROUPS)
        return dict(sorted(merged.items(), key=lambda item: order.index(item[0].partition("/")[0])))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups that have rows."""
        return tuple(group for group in GROUPS if self.length(group))

    def length(self, group: str) -> int:
        """Return the number of rows of ``group``."""
        return sum(found.length(group) for _, found in self._pieces)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape that ``log[key]`` has, without reading it."""
        group = self._known(key).partition("/")[0]
        shapes = [found.shapes[key] for _, found in self._pieces if key in found.shapes]
        return (self.length(group), *(max(sizes) for sizes in zip(*(s[1:] for s in shapes), strict=True)))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows ``start`` to ``stop`` of a variable, as a slice does (``start=-1`` gives the last row).

        The name of an axis, as in "step/player", gives its coordinate: names, or 0, 1, 2, …
        """
        if key not in self.variables and (axis := self._axis(key)) is not None:
            return axis[start:stop]
        rows = range(*slice(start, stop).indices(self.length(self._known(key).partition("/")[0])))
        size = len(rows) * math.prod(self.shape(key)[1:]) * np.dtype(self.variables[key].dtype).itemsize
        if size > MOST and isinstance(self._files, Sandbox):
            raise BadLog(
                f"{self.path} has {size:,} bytes of {key}, and the command line reads {MOST:,} at once. "
                f"counterplay.open_log in Python reads all, if you trust the file."
            )
        try:
            return column(self._pieces, key, rows.start, rows.stop, self._files)
        except FileNotFoundError:  # the writer has merged its blocks: the same rows are in log.h5 now
            if self._directory is None:
                raise StorageError(f"{self.path} has gone while it was being read.") from None
            self._pieces = _settled(self.path, self._files)[0]
            return column(self._pieces, key, rows.start, rows.stop, self._files)

    def whole(self) -> bytes:
        """Return the whole log as the bytes of one file, as `log.h5` of a finished run."""
        return whole(self._pieces, None, self._files)

    def _axis(self, key: str) -> np.ndarray | None:
        group, _, dim = key.partition("/")
        for name, variable in self.variables.items():
            if name.startswith(f"{group}/") and dim in variable.dims:
                named = self.labels(dim)
                return np.array(named) if named else np.arange(self.shape(name)[variable.dims.index(dim)])
        return None

    def _known(self, key: str) -> str:
        if key in self.variables:
            return key
        have = f" It has {', '.join(self.variables)}." if len(self.variables) else " It has no rows yet."
        raise UsageError(f"{self.path} has no variable {key!r}{did_you_mean(key, self.variables)}{have}")

    def labels(self, dim: str) -> tuple[str, ...]:
        """Return the names along an axis; () if the axis has numbers only."""
        return next((found.labels[dim] for _, found in self._pieces if dim in found.labels), ())

    @property
    def players(self) -> tuple[str, ...]:
        """The players, in the order of the ``player`` axis."""
        return self.labels("player")

    @property
    def members(self) -> int | None:
        """The size of the ensemble; None for a single run."""
        for key, variable in self.variables.items():
            if "member" in variable.dims:
                return self.shape(key)[variable.dims.index("member")]
        return None

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of the log file."""
        return dict(self._pieces[0][1].attrs) if self._pieces else {}

    @cached_property
    def run(self) -> dict[str, Any]:
        """run.json, or the part of it that a lone log file has. Raises BadLog for a field that no run writes so."""
        if self._directory is not None and (found := self._directory.run()):
            return found
        facts = {key: _parsed(value) for key, value in self.attrs.items() if not key.startswith("format")}
        return checked(facts, self.path, Run)

    @property
    def experiment(self) -> dict[str, Any]:
        """The experiment: game, solver and settings."""
        found: dict[str, Any] = self.run.get("experiment", {})
        return found

    @property
    def status(self) -> dict[str, Any]:
        """status.json, read again at each look-up; {} for a lone log file.

        A run that is "running" according to the file, while no process holds its directory, has "crashed". As the file
        is written when a run begins and when it ends, the step of such a run is taken from its last row.
        """
        if self._directory is None:
            return {}
        status = self._directory.status()
        if status.get("state") == "running" and not held(self._directory.path):
            status["state"] = "crashed"
        if status.get("state") in ("running", "crashed") and self.length("step"):
            status["step"] = max(status.get("step", 0), int(self.read("step/step", -1)[0]))
        return status

    def dataset(self, group: str = "step") -> xarray.Dataset:
        """Return a group as an xarray Dataset, whose variables are read when they are used."""
        from .tables import dataset

        return dataset(self, group)

    def frame(self, group: str = "step") -> pandas.DataFrame:
        """Return a group as a pandas DataFrame, with a row for each step (and member) and a column for each number."""
        from .tables import frame

        return frame(self, group)


def _parsed(value: Any) -> Any:
    """The value of an attribute; tables and lists are stored as JSON text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return parse(value)
        except ValueError:
            return value
    return value
