"""Open a log and read what is asked for, when it is asked for, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import BadLog, StorageError, UsageError, did_you_mean
from ...core.log import hdf5
from ...core.log.sandbox import MOST, Sandbox
from ...core.log.schema import GROUPS, Variable
from ...core.log.segments import Files, Pieces, column, pieces_of, whole
from ...core.storage.json_fields import Run, checked
from ...core.storage.lock import held
from ...core.storage.run_directory import RunDirectory
from ...core.storage.strict_json import parse

if TYPE_CHECKING:
    import pandas
    import xarray


def open_log(path: str | Path, *, sandbox: bool | Sandbox = False) -> Log:
    """Open a run directory, finished or under way, or a single log file.

    With ``sandbox`` the HDF5 files are read by another process, under limits of memory and time: for logs of unknown
    origin. What hangs or kills a reader is then a BadLog as any other damage.

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
            return Log(path, *_settled(path, files), files)
        if not path.exists():
            raise UsageError(f"There is no {path}; give a run directory or a log file.")
        real = path.resolve() if path.is_symlink() else path  # a link that the user named is the user's own
        return Log(path, [(real, files.contents(real))], None, files)
    except OSError as error:
        raise StorageError(f"Could not read {path}: {error.strerror or error}.") from error


def _settled(directory: Path, files: Files) -> tuple[Pieces, RunDirectory]:
    """List a directory's pieces; blocks that a writer merges in the meantime are looked for again."""
    for _ in range(5):
        try:
            return pieces_of(directory, files), RunDirectory(directory)
        except FileNotFoundError:
            continue
    raise StorageError(f"The files of {directory} kept vanishing while they were opened; try again.")


class Log(Mapping[str, np.ndarray]):
    """A log as a mapping from "group/variable" to numpy arrays, each read from the disk when looked up.

    It shows the rows that were sealed when it was opened; open it again to see more.
    """

    def __init__(self, path: Path, pieces: Pieces, directory: RunDirectory | None, files: Files = hdf5) -> None:
        self.path = path
        self._pieces = pieces
        self._directory = directory
        self._files = files
        self.name = path.stem if path.suffix == ".h5" else path.resolve().name  # in titles and legends

    def __repr__(self) -> str:
        rows = ", ".join(f"{group}: {self.length(group)}" for group in self.groups)
        return f"<Log {self.path} ({rows or 'no rows yet'})>"

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
        """What is in the log: axes, units and meaning of each "group/variable"."""
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
        """Return the shape ``log[key]`` would have."""
        group = self._known(key).partition("/")[0]
        shapes = [found.shapes[key] for _, found in self._pieces if key in found.shapes]
        return (self.length(group), *(max(sizes) for sizes in zip(*(s[1:] for s in shapes), strict=True)))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return rows ``start`` to ``stop`` of a variable, counted as slices are (``start=-1`` is the last row).

        An axis by its name, "step/player", gives what stands along it: names, or numbers.
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
        except FileNotFoundError:  # the writer merged its blocks: the rows are in log.h5 now, at the same places
            if self._directory is None:
                raise StorageError(f"{self.path} has gone while it was being read.") from None
            self._pieces = _settled(self.path, self._files)[0]
            return column(self._pieces, key, rows.start, rows.stop, self._files)

    def whole(self) -> bytes:
        """Return the log as the bytes of one file, as `log.h5` of a finished run is."""
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
        """Return the names along an axis; () where it is only numbered."""
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
        """What was asked (run.json), or as much of it as a lone log file says. Raises BadLog for what no run writes."""
        if self._directory is not None and (found := self._directory.run()):
            return found
        said = {key: _parsed(value) for key, value in self.attrs.items() if not key.startswith("format")}
        return checked(said, self.path, Run)

    @property
    def experiment(self) -> dict[str, Any]:
        """The experiment's settings."""
        found: dict[str, Any] = self.run.get("experiment", {})
        return found

    @property
    def status(self) -> dict[str, Any]:
        """Where the run stands (status.json), read anew; {} for a lone log file.

        A run that says "running" while no process holds its directory has "crashed"; where either stands, its last row
        says better than the file, which is written when a run begins and when it ends.
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
        """Return a group as an xarray Dataset whose variables are read when they are used."""
        from .tables import dataset

        return dataset(self, group)

    def frame(self, group: str = "step") -> pandas.DataFrame:
        """Return a group as a pandas DataFrame, one row a step (and member), one column a number."""
        from .tables import frame

        return frame(self, group)


def _parsed(value: Any) -> Any:
    """Attributes hold tables as JSON text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return parse(value)
        except ValueError:
            return value
    return value
