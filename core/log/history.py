"""A run's record in memory: what its log would hold, under the same names, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import StorageError, UsageError, did_you_mean
from .hdf5 import Table
from .rows import Columns, LogRows, Row
from .schema import Layout

LIMIT = 2 << 30  # bytes


class History(LogRows, Mapping[str, np.ndarray]):
    """``history["step/losses"]`` is an array (rows, player), and so is every variable of the run's log.

    The names and axes are those of a log (``counterplay.open_log``), read anew at every look: what was recorded so far.
    ``layout`` has the names along the axes player and parameter. At most 2 GiB.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._found: dict[str, tuple[int, Table]] = {}  # by group, with the entries it was made of

    def expect(self, rows: int) -> None:
        """Raise UsageError where so many rows of "step" are more than it holds."""
        numbers = 3 * len(self.layout.players) + len(self.layout.parameters or self.layout.directions or ()) + 3
        size = 8 * rows * (numbers * (self.layout.members or 1) + 7)
        if size > LIMIT:
            raise UsageError(f"A history of {rows:,} steps takes {size / 2**30:.1f} GiB of memory, {_ADVICE}")

    def _take(self, group: str, entry: Row | Columns, weight: int) -> None:
        if self._bytes + weight > LIMIT:
            step = entry["step"][-1] if isinstance(entry, Columns) else entry["step"]
            raise StorageError(f"The history is full at step {step}, in the group {group!r}, {_ADVICE}")
        super()._take(group, entry, weight)

    def _columns(self, group: str) -> Mapping[str, np.ndarray]:
        entries = self._rows[group]
        count, table = self._found.get(group, (0, Table()))
        if count != len(entries):
            table = self._table(group, entries)
            for column in table.columns.values():
                column.flags.writeable = False
            self._found[group] = len(entries), table
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
        return f"History({', '.join(f'{name} {self[name].shape}' for name in self)})"


_ADVICE = "more than 2 GiB: record every so many steps (every=...), or to a directory (out=...)."


def both(*records: LogRows) -> Any:
    """``append`` and ``extend`` to each of ``records``."""

    def append(group: str, row: Row) -> None:
        for record in records:
            record.append(group, row)

    def extend(group: str, columns: Row) -> None:
        for record in records:
            record.extend(group, columns)

    return append, extend
