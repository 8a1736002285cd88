"""The writer of a log: rows gathered in memory, sealed into immutable blocks, merged into one file at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import StorageError
from ..storage.atomic import write_atomic
from .blocks import TooLarge, blocks_of, merge
from .hdf5 import Table, encode
from .rows import Columns, LogRows, Row, concatenated
from .schema import Layout


class LogWriter(LogRows):
    """Writes the log of the run in ``directory``; its blocks follow those that are there already.

    A block is sealed when a row is added after ``seal_seconds`` seconds or ``seal_bytes`` bytes.
    """

    def __init__(
        self, directory: Path | str, layout: Layout, *, seal_seconds: float = 5.0, seal_bytes: int = 4 << 20
    ) -> None:
        super().__init__(layout)
        self.directory = Path(directory)
        self.seal_seconds = seal_seconds
        self.seal_bytes = seal_bytes
        self._newest = -1  # the step of the newest row
        self._recent: list[dict[str, Table]] = []  # the blocks sealed since the first row of that step
        self._sealed_at = time.monotonic()
        self._number = max((int(b.stem) for b in blocks_of(self.directory)), default=0)

    def _add(self, group: str, entry: Row | Columns, weight: int) -> None:
        step = entry["step"][-1] if isinstance(entry, Columns) else entry["step"]
        if step != self._newest:
            self._newest = int(step)
            self._recent.clear()
        super()._add(group, entry, weight)
        if self._bytes >= self.seal_bytes or time.monotonic() - self._sealed_at >= self.seal_seconds:
            self.seal()

    @property
    def sealed(self) -> int:
        """The number of the newest block."""
        return self._number

    def seal(self) -> Path | None:
        """Write the rows in memory as one block and return its path; None where there are none.

        Raises StorageError where the file system refuses. The rows are then kept, and the next seal tries again.
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
        self._recent.append(tables)
        self._bytes = 0
        self._sealed_at = time.monotonic()
        for rows in self._rows.values():
            rows.clear()
        return path

    def finish(self) -> Path:
        """Seal, merge all blocks into log.h5 and return its path; that of the blocks if one file cannot hold all."""
        self.seal()
        try:
            return merge(self.directory, self.layout)
        except TooLarge:
            return self.directory / "log"

    def pending(self) -> dict[str, dict[str, np.ndarray]]:
        """The rows that are in no block yet, as columns of real numbers by group. A checkpoint keeps them.

        To seal a block at each checkpoint would cost as much as several steps of a small network.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        for group, entries in self._rows.items():
            if not entries:
                continue
            if len(entries) > 1 or not isinstance(entries[0], Columns):
                table = self._table(group, entries)
                self._variables[group].update(table.variables)
                entries[:] = [Columns(table.columns)]  # kept, so that rows are turned into columns only once
            found[group] = {name: _real(x) for name, x in entries[0].items()}
        return found

    def before(self, step: int) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
        """The number of the newest block that has only rows before ``step``, and the later rows before ``step``.

        A step is logged before it is committed. If an observer of the step fails, the run resumes before the step.
        """
        if self._newest < step:
            return self._number, self.pending()
        found: dict[str, dict[str, np.ndarray]] = {}
        for group, rows in self._rows.items():
            parts = [tables[group] for tables in self._recent if group in tables]
            parts += [self._table(group, rows)] if rows else []
            if parts:
                columns = concatenated(parts).columns
                found[group] = {name: _real(x)[columns["step"] < step] for name, x in columns.items()}
        return self._number - len(self._recent), {group: x for group, x in found.items() if len(x["step"])}

    def restore(self, pending: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Take what was pending elsewhere, before any other rows."""
        for group, columns in pending.items():
            given = Columns()
            for name, x in columns.items():
                variable = self._variables[group][name] = self.layout.variable(group, name, x.shape[1:])
                given[name] = x.view("<c16") if np.dtype(variable.dtype).kind == "c" else x
                self._bytes += x.nbytes
            self._rows[group].append(given)


def _real(x: np.ndarray) -> np.ndarray:
    return x.view("<f8") if x.dtype.kind == "c" else x
