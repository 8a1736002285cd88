"""The writer of a log: rows gathered in memory, sealed into immutable blocks, merged into one file at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from .agreement import admit
from .blockfile import Table, encode, fill, pad
from .errors import StorageError, UsageError
from .pieces import TooLarge, blocks_of, merge
from .rundir import write_atomic
from .schema import COUNTS, GROUPS, Layout, Variable

Row = Mapping[str, Any]


class Columns(dict[str, np.ndarray]):
    """Many rows as one entry: every array has them along its first axis."""


class LogWriter:
    """Writes the log of the run directory ``directory``, after whatever blocks it holds already.

    A row is a mapping from variable names to numbers, arrays or, for one value per player, mappings by player. Rows are
    kept as given until they are sealed: do not write into an array that was appended. A block is sealed before the
    first row of another step after ``seal_seconds`` seconds or ``seal_bytes`` bytes: the newest step stays outside,
    since it is taken again where someone who looks at it fails.
    """

    def __init__(
        self, directory: Path | str, layout: Layout, *, seal_seconds: float = 5.0, seal_bytes: int = 4 << 20
    ) -> None:
        self.directory = Path(directory)
        self.layout = layout
        self.seal_seconds = seal_seconds
        self.seal_bytes = seal_bytes
        self._rows: dict[str, list[Row | Columns]] = {group: [] for group in GROUPS}
        self._weights: dict[tuple[str, ...], int] = {}  # bytes of a row of "step", by the names in it
        self._variables: dict[str, dict[str, Variable]] = {group: {} for group in GROUPS}
        self._bytes = 0
        self.newest: int | None = None  # the step of the newest row
        self._sealed_at = time.monotonic()
        self._number = max((int(b.stem) for b in blocks_of(self.directory)), default=0)

    def append(self, group: str, row: Row) -> None:
        """Add one row to ``group``; it must hold "step". Costs about a microsecond unless it seals a block.

        Raises UsageError for a name or shape the log cannot hold. Rows of "step" are too many to check each: only one
        whose names differ from the row before is.
        """
        names = tuple(row)
        weight = self._weights.get(names) if group == "step" else None
        if weight is None:
            weight = self._admit(group, row)
            if group == "step":
                self._weights[names] = weight
        self._take(group, row, weight)

    def extend(self, group: str, columns: Row) -> None:
        """Add many rows at once: every column has the rows along its first axis, as many as ``step`` has."""
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        count = len(arrays.get("step", ()))
        for name, array in arrays.items():
            if len(array) != count:
                raise UsageError(f"Variable {name!r} of the log got {len(array)} rows; step has {count}.")
        if count:
            weight = self._admit(group, {name: array[0] for name, array in arrays.items()})
            self._take(group, Columns(arrays), count * weight)

    def _take(self, group: str, entry: Row | Columns, weight: int) -> None:
        step = entry["step"][-1] if isinstance(entry, Columns) else entry["step"]
        if step != self.newest:
            self.newest = step
            if self._bytes >= self.seal_bytes or time.monotonic() - self._sealed_at >= self.seal_seconds:
                self.seal()
        self._rows[group].append(entry)
        self._bytes += weight

    @property
    def sealed(self) -> int:
        """The number of the newest block."""
        return self._number

    def seal(self) -> Path | None:
        """Write the rows gathered so far as one block and return its path; None where there are none.

        Raises StorageError where the file system refuses; the rows are kept, and the next seal tries again.
        """
        tables = {group: self._table(group, rows) for group, rows in self._rows.items() if rows}
        if not tables:
            self._sealed_at = time.monotonic()
            return None
        data = encode(tables, self.layout.labels(), self.layout.attrs)
        path = self.directory / "log" / f"{self._number + 1:06d}.h5"
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"Could not make {path.parent}: {error.strerror or error}.") from error
        write_atomic(path, data)
        self._number += 1
        self._bytes = 0
        self._sealed_at = time.monotonic()
        for rows in self._rows.values():
            rows.clear()
        return path

    def finish(self) -> Path:
        """Seal, merge all blocks into log.h5, and return its path; that of the blocks where it were too large."""
        self.seal()
        try:
            return merge(self.directory, self.layout)
        except TooLarge:
            return self.directory / "log"

    def pending(self, before: int | None = None) -> dict[str, dict[str, np.ndarray]]:
        """The rows that are in no block yet, as columns of real numbers by group: what a checkpoint keeps of the log.

        Only those of steps ``before`` that one, if it is given. A block costs as much as several steps of a small
        network, and checkpoints may be many; this costs little.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        for group, entries in self._rows.items():
            if not entries:
                continue
            if len(entries) > 1 or not isinstance(entries[0], Columns):
                table = self._table(group, entries)
                self._variables[group].update(table.variables)
                entries[:] = [Columns(table.columns)]  # as that they stay: rows are turned into columns once
            columns = {name: x.view("<f8") if x.dtype.kind == "c" else x for name, x in entries[0].items()}
            if before is not None:
                columns = {name: x[entries[0]["step"] < before] for name, x in columns.items()}
            if len(columns["step"]):
                found[group] = columns
        return found

    def restore(self, pending: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Take what was pending elsewhere, before any other rows."""
        for group, columns in pending.items():
            given = Columns()
            for name, x in columns.items():
                variable = self._variables[group][name] = self.layout.variable(group, name, x.shape[1:])
                given[name] = x.view("<c16") if np.dtype(variable.dtype).kind == "c" else x
                self._bytes += x.nbytes
            self._rows[group].append(given)

    def _admit(self, group: str, row: Row) -> int:
        """Check the names and shapes of a row before it is taken, and give its bytes.

        A wrong one must not spoil a block later.
        """
        if "step" not in row:
            raise UsageError(f"A row of the log's group {group!r} has no 'step': say which step it belongs to.")
        weight = 0
        for name, value in row.items():
            known = self._variables[group].get(name)
            variable = known or self.layout.variable(group, name, np.shape(_first(value)))
            array = self._array(variable, value)
            if known is None:
                admit(self._variables, group, variable, array.size)
            self._variables[group][name] = variable
            weight += array.nbytes
        return weight

    def _table(self, group: str, entries: list[Row | Columns]) -> Table:
        parts: list[Table] = []
        for many, run in groupby(entries, lambda entry: isinstance(entry, Columns)):
            rows = list(run)
            parts += [self._given(group, columns) for columns in rows] if many else [self._gathered(group, rows)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _given(self, group: str, columns: Row) -> Table:
        variables = {name: self._variables[group][name] for name in columns}
        return Table(
            variables, {name: np.ascontiguousarray(columns[name], dtype=v.dtype) for name, v in variables.items()}
        )

    def _gathered(self, group: str, rows: list[Row]) -> Table:
        table = Table()
        for name, variable in self._variables[group].items():
            if all(name not in row for row in rows):
                continue
            table.variables[name] = variable
            table.columns[name] = self._column(variable, rows)
            count = COUNTS.get(name)
            if count and all(count not in row for row in rows):
                found = (~np.isnan(table.columns[name])).sum(axis=-1)
                table.variables[count] = self.layout.variable(group, count, found.shape[1:])
                table.columns[count] = found.astype("<i8")
        return table

    def _column(self, variable: Variable, rows: list[Row]) -> np.ndarray:
        if variable.name in rows[0] and not isinstance(rows[0][variable.name], Mapping):
            try:  # the common case in one call: every row has the variable, all of one shape
                column = np.array([row[variable.name] for row in rows], dtype=variable.dtype)
                if column.ndim == len(variable.dims):
                    return np.ascontiguousarray(column)
            except (KeyError, ValueError, TypeError):
                pass
        given = [self._array(variable, row[variable.name]) if variable.name in row else None for row in rows]
        shapes = [a.shape for a in given if a is not None]
        shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        empty = np.full(shape, fill(np.dtype(variable.dtype)), dtype=variable.dtype)
        return np.stack([empty if a is None else pad(a, shape) for a in given])

    def _array(self, variable: Variable, value: Any) -> np.ndarray:
        """Return one row's value, its axes in the order of ``variable.dims[1:]``."""
        dims = variable.dims[1:]
        try:
            if isinstance(value, Mapping):
                parts = [np.asarray(value[p], dtype=variable.dtype) for p in self.layout.players]
                shape = tuple(max(sizes) for sizes in zip(*(p.shape for p in parts), strict=True))
                array = np.stack([pad(p, shape) for p in parts], axis=dims.index("player"))
            else:
                array = np.asarray(value, dtype=variable.dtype)
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"Variable {variable.name!r} of the log got {value!r:.80}; expected numbers along {_axes(dims)}."
            ) from error
        sizes = [self.layout.size(dim) for dim in dims]
        if array.ndim != len(dims) or any(n not in (None, k) for n, k in zip(sizes, array.shape, strict=True)):
            wanted = ", ".join(f"{d} {n}" if n is not None else d for d, n in zip(dims, sizes, strict=True))
            raise UsageError(
                f"Variable {variable.name!r} of the log got shape {array.shape}; expected ({wanted}) in each row."
            )
        return array


def _joined(parts: list[Table]) -> Table:
    """One table after another; a variable that is missing from one is filled there."""
    joined = Table({name: variable for part in parts for name, variable in part.variables.items()})
    for name, variable in joined.variables.items():
        shapes = [part.columns[name].shape[1:] for part in parts if name in part.columns]
        tail = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        nothing = np.full((0, *tail), fill(np.dtype(variable.dtype)), dtype=variable.dtype)
        columns = [pad(part.columns.get(name, nothing), (len(part.columns["step"]), *tail)) for part in parts]
        joined.columns[name] = np.concatenate(columns)
    return joined


def _first(value: Any) -> Any:
    return next(iter(value.values()), ()) if isinstance(value, Mapping) else value


def _axes(dims: tuple[str, ...]) -> str:
    return " × ".join(dims) if dims else "no axis (one number)"
