"""Rows of a log: checked when they are added, kept as they are given, and turned into columns by the schema."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from ..errors import UsageError
from .hdf5 import Table, fill, pad
from .schema import COUNTS, GROUPS, Layout, Variable
from .schema_check import check_new_variable

Row = Mapping[str, Any]


class Columns(dict[str, np.ndarray]):
    """Many rows as one entry: the first axis of every array counts the rows."""


class LogRows:
    """Rows by group, in memory.

    A row is a mapping from variable names to numbers, to arrays or, for one value per player, to mappings by player.
    Rows are kept as given: do not write into an array that was appended.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._rows: dict[str, list[Row | Columns]] = {group: [] for group in GROUPS}
        self._weights: dict[tuple[str, ...], int] = {}  # bytes of a row of "step", by the names in it
        self._variables: dict[str, dict[str, Variable]] = {group: {} for group in GROUPS}
        self._bytes = 0

    def append(self, group: str, row: Row) -> None:
        """Add one row to ``group``; it must hold "step". Costs about a microsecond.

        Raises UsageError for a name or shape that the log cannot hold. As there are many rows of "step", only the first
        row with given names is checked.
        """
        names = tuple(row)
        weight = self._weights.get(names) if group == "step" else None
        if weight is None:
            weight = self._check(group, row)
            if group == "step":
                self._weights[names] = weight
        self._add(group, row, weight)

    def extend(self, group: str, columns: Row) -> None:
        """Add many rows at once: the first axis of every column counts the rows, as that of ``step`` does."""
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        count = len(arrays.get("step", ()))
        for name, array in arrays.items():
            if len(array) != count:
                raise UsageError(f"Variable {name!r} of the log got {len(array)} rows; step has {count}.")
        if count:
            weight = self._check(group, {name: array[0] for name, array in arrays.items()})
            self._add(group, Columns(arrays), count * weight)

    def _add(self, group: str, entry: Row | Columns, weight: int) -> None:
        self._rows[group].append(entry)
        self._bytes += weight

    def _check(self, group: str, row: Row) -> int:
        """Check the names and shapes of a row before it is added, and return its bytes.

        A row that cannot be written would otherwise spoil a whole block later.
        """
        if "step" not in row:
            raise UsageError(f"A row of the log's group {group!r} has no 'step': say which step it belongs to.")
        weight = 0
        for name, value in row.items():
            known = self._variables[group].get(name)
            variable = known or self.layout.variable(group, name, np.shape(_first(value)))
            array = self._array(variable, value)
            if known is None:
                check_new_variable(self._variables, group, variable, array.size)
            self._variables[group][name] = variable
            weight += array.nbytes
        return weight

    def _table(self, group: str, entries: list[Row | Columns]) -> Table:
        parts: list[Table] = []
        for many, run in groupby(entries, lambda entry: isinstance(entry, Columns)):
            rows = list(run)
            parts += [self._of_columns(group, columns) for columns in rows] if many else [self._of_rows(group, rows)]
        return concatenated(parts)

    def _of_columns(self, group: str, columns: Row) -> Table:
        variables = {name: self._variables[group][name] for name in columns}
        return Table(
            variables, {name: np.ascontiguousarray(columns[name], dtype=v.dtype) for name, v in variables.items()}
        )

    def _of_rows(self, group: str, rows: list[Row]) -> Table:
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
            try:  # the common case, in one call: every row has the variable, with one shape
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


def concatenated(parts: list[Table]) -> Table:
    """One table after another; a variable that one of them lacks is filled there (`hdf5.fill`)."""
    table = Table({name: variable for part in parts for name, variable in part.variables.items()})
    for name, variable in table.variables.items():
        shapes = [part.columns[name].shape[1:] for part in parts if name in part.columns]
        tail = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        nothing = np.full((0, *tail), fill(np.dtype(variable.dtype)), dtype=variable.dtype)
        columns = [pad(part.columns.get(name, nothing), (len(part.columns["step"]), *tail)) for part in parts]
        table.columns[name] = np.concatenate(columns)
    return table


def _first(value: Any) -> Any:
    return next(iter(value.values()), ()) if isinstance(value, Mapping) else value


def _axes(dims: tuple[str, ...]) -> str:
    return " × ".join(dims) if dims else "no axis (one number)"
