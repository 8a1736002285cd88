"""The record of a run in memory: the variables of its log, under the same names, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .. import notebook
from ..errors import StorageError, UsageError, did_you_mean
from .hdf5 import Table
from .rows import Columns, LogRows, Row
from .schema import Layout

LIMIT = 2 << 30  # bytes


class History(LogRows, Mapping[str, np.ndarray]):
    """A mapping from the names of a log's variables to arrays: ``history["step/losses"]`` has the shape (rows, player).

    Names and axes are those of a log (``counterplay.open_log``). Each look-up gives all that was recorded so far.
    ``layout`` has the names along the axes player and parameter. A history holds at most 2 GiB.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._tables: dict[str, tuple[int, Table]] = {}  # by group: the number of entries, and the table made of them

    def expect(self, rows: int) -> None:
        """Raise UsageError if ``rows`` rows of "step" are more than a history can hold."""
        numbers = 3 * len(self.layout.players) + len(self.layout.parameters or self.layout.directions or ()) + 3
        size = 8 * rows * (numbers * (self.layout.members or 1) + 7)
        if size > LIMIT:
            raise UsageError(f"A history of {rows:,} steps takes {size / 2**30:.1f} GiB of memory, {_ADVICE}")

    def _add(self, group: str, entry: Row | Columns, weight: int) -> None:
        if self._bytes + weight > LIMIT:
            step = entry["step"][-1] if isinstance(entry, Columns) else entry["step"]
            raise StorageError(f"The history is full at step {step}, in the group {group!r}, {_ADVICE}")
        super()._add(group, entry, weight)

    def _columns(self, group: str) -> Mapping[str, np.ndarray]:
        entries = self._rows[group]
        count, table = self._tables.get(group, (0, Table()))
        if count != len(entries):
            table = self._table(group, entries)
            for column in table.columns.values():
                column.flags.writeable = False
            self._tables[group] = len(entries), table
        return table.columns

    def __getitem__(self, name: str) -> np.ndarray:
        group, _, variable = name.partition("/")
        columns = self._columns(group) if group in self._rows else {}
        if variable not in columns:
            raise KeyError(f"{name!r} was not recorded{did_you_mean(name, list(self))}")
        return columns[variable]

    def __iter__(self) -> Iterator[str]:
        return (f"{group}/{name}" for group, rows in self._rows.items() if rows for name in self._columns(group))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        rows = ", ".join(f"{group}: {len(self[f'{group}/step'])}" for group, rows in self._rows.items() if rows)
        return f"<History ({rows or 'no rows'})>"

    def _repr_html_(self) -> str:
        """A table of the variables, for notebooks."""
        return notebook.table("History", [(name, self[name].shape) for name in self], ("variable", "shape"))


_ADVICE = "more than 2 GiB: record every so many steps (every=...), or to a directory (out=...)."


def appenders_to_all(*records: LogRows) -> tuple[Callable[[str, Row], None], ...]:
    """Return functions ``append`` and ``extend`` that add to each of ``records``."""

    def append(group: str, row: Row) -> None:
        for record in records:
            record.append(group, row)

    def extend(group: str, columns: Row) -> None:
        for record in records:
            record.extend(group, columns)

    return append, extend
