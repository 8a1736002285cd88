"""The files that make up one log: sealed blocks, and the one file into which they are merged."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import BadLog, StorageError, UsageError
from ..storage.atomic import write_atomic
from . import hdf5
from .hdf5 import encode, fill
from .safety import MAX_BYTES
from .schema import GROUPS, Layout, Variable
from .schema_check import Contents, check_one_log, row_bytes, row_ranges

Pieces = list[tuple[Path, Contents]]
_PART = 64 << 20  # bytes of a group's rows in memory at once


class Files(Protocol):
    """What reads the files: the module `hdf5`, or a `sandbox.Sandbox` for files from a stranger."""

    def contents(self, path: Path) -> Contents:
        """What the file says that it holds. Raises BadLog if it is damaged."""

    def read(self, path: Path, key: str, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop`` of one variable."""

    def read_rows(self, path: Path, keys: Iterable[str], start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows ``start`` to ``stop`` of several variables, as key -> array."""


def blocks_of(directory: Path) -> list[Path]:
    """Return the sealed blocks of a run directory in order, without drafts of blocks."""
    if (directory / "log").is_symlink():  # merging removes the blocks, which would be those of another run
        raise BadLog(f"{directory / 'log'} is a link; a run directory holds plain files and folders only.")
    try:
        names = [p for p in (directory / "log").iterdir() if re.fullmatch(r"\d{6,12}\.h5", p.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"Could not read {directory / 'log'}: {error.strerror or error}.") from error
    return sorted(names, key=lambda block: int(block.stem))


def first_lost_block(directory: Path, count: int) -> int | None:
    """Number of the first of ``count`` blocks that is missing; None if none is, or if the log is one file by now."""
    there = {int(block.stem) for block in blocks_of(directory)}
    merged = (directory / "log.h5").exists()
    return None if merged else next((n for n in range(1, count + 1) if n not in there), None)


def pieces_of(directory: Path, files: Files = hdf5) -> Pieces:
    """Return the files that make up a log, in order: log.h5 if it exists, then the blocks that it does not contain.

    A crash between writing log.h5 and removing its blocks leaves the blocks behind. Their steps tell whether log.h5
    contains them. A note in log.h5 could tell too, but the content of a log must not depend on interruptions.
    """
    whole = directory / "log.h5"
    pieces: Pieces = [(whole, files.contents(whole))] if os.path.lexists(whole) else []
    last = _last_steps(pieces, files)
    for block in blocks_of(directory):
        found = files.contents(block)
        if not last or any(s > last.get(g, -1) for g, s in _last_steps([(block, found)], files).items()):
            pieces.append((block, found))
    check_one_log(pieces)
    return pieces


def _last_steps(pieces: Pieces, files: Files) -> dict[str, int]:
    ends: dict[str, int] = {}
    for path, found in pieces:
        for group in GROUPS:
            if n := found.length(group):
                ends[group] = int(files.read(path, f"{group}/step", n - 1, n)[0])
    return ends


def column(pieces: Pieces, key: str, start: int, stop: int, files: Files = hdf5) -> np.ndarray:
    """Return rows ``start`` to ``stop`` of ``key`` over all ``pieces``, reading only the files that hold them."""
    return columns(pieces, [key], start, stop, files)[key]


def columns(pieces: Pieces, keys: list[str], start: int, stop: int, files: Files = hdf5) -> dict[str, np.ndarray]:
    """Return rows ``start`` to ``stop`` of variables of one group."""
    found = {key: _empty(pieces, key, max(0, stop - start)) for key in keys}
    offset = 0
    for path, held in pieces:
        n = held.length(keys[0].partition("/")[0])
        low, high = max(start - offset, 0), min(stop - offset, n)
        own = [key for key in keys if key in held.shapes] if low < high else []
        at = offset + low - start
        for key, part in (files.read_rows(path, own, low, high) if own else {}).items():
            if part.shape != (high - low, *held.shapes[key][1:]):
                raise BadLog(f"{path} changed while it was read.")
            found[key][(slice(at, at + len(part)), *(slice(k) for k in part.shape[1:]))] = part
        offset += n
    return found


def _empty(pieces: Pieces, key: str, rows: int) -> np.ndarray:
    dtype = np.dtype(next(found.variables[key].dtype for _, found in pieces if key in found.variables))
    return np.full((rows, *_tail(pieces, key)), fill(dtype), dtype=dtype)


def _tail(pieces: Pieces, key: str) -> tuple[int, ...]:
    """The shape of a row into which the rows of every file fit."""
    shapes = [found.shapes[key] for _, found in pieces if key in found.shapes]
    if len({len(s) for s in shapes}) != 1:
        raise BadLog(f"The files of the log beside {pieces[0][0]} disagree on the axes of {key!r}.")
    return tuple(max(sizes) for sizes in zip(*(s[1:] for s in shapes), strict=True))


@dataclass(frozen=True)
class _Joined:
    """The rows of a group over all pieces. Where the pieces end does not show in the parts, nor in the merged file."""

    pieces: Pieces
    group: str
    files: Files

    @cached_property
    def variables(self) -> dict[str, Variable]:
        merged: dict[str, Variable] = {}
        for _, found in self.pieces:
            own = {k.partition("/")[2]: v for k, v in found.variables.items() if k.startswith(f"{self.group}/")}
            merged = {**own, **merged}
        return merged

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        rows = sum(found.length(self.group) for _, found in self.pieces)
        return {name: (rows, *_tail(self.pieces, f"{self.group}/{name}")) for name in self.variables}

    def parts(self) -> Iterator[dict[str, np.ndarray]]:
        size = sum(row_bytes(v, self.shapes[name]) for name, v in self.variables.items())
        keys = {f"{self.group}/{name}": name for name in self.variables}
        for start, stop in row_ranges(self.shapes["step"][0], size, _PART):
            yield {keys[k]: x for k, x in columns(self.pieces, list(keys), start, stop, self.files).items()}


def whole(pieces: Pieces, layout: Layout | None = None, files: Files = hdf5) -> bytes:
    """Return the files of a log as the bytes of one file.

    ``layout`` gives labels and attributes if there is no block to take them from. Raises TooLarge for a variable of
    more than MAX_BYTES, which readers refuse.
    """
    tables = {group: _Joined(pieces, group, files) for group in GROUPS}
    for group, table in tables.items():
        for name, shape in table.shapes.items():
            if (size := shape[0] * row_bytes(table.variables[name], shape)) > MAX_BYTES:
                raise TooLarge(
                    f"/{group}/{name} has {size:,} bytes, and one file holds {MAX_BYTES:,} of a variable: "
                    "the log stays in its blocks, which read as one."
                )
    labels: dict[str, Any] = {} if layout is None else dict(layout.labels())
    attrs: dict[str, Any] = {} if layout is None else dict(layout.attrs)
    for _, found in pieces:
        labels.update(found.labels)
        attrs.update(found.attrs)
    return encode(tables, labels, attrs)


class TooLarge(UsageError):
    """A log that cannot be one file."""


def merge(directory: Path | str, layout: Layout | None = None, files: Files = hdf5) -> Path:
    """Write the blocks of a run directory as one file log.h5, remove the blocks, and return its path.

    ``layout`` gives labels and attributes if there is no block to take them from. A crash at any moment leaves a
    readable log, and merging again completes it. Raises TooLarge, and keeps the blocks, where one file cannot hold all.
    """
    directory = Path(directory)
    pieces = pieces_of(directory, files)
    path = directory / "log.h5"
    if len(pieces) != 1 or pieces[0][0] != path:
        write_atomic(path, whole(pieces, layout, files))
    try:
        for block in (*blocks_of(directory), *(directory / "log").glob(".*.tmp")):  # drafts of a crash, too
            block.unlink()
        if (directory / "log").is_dir() and not any((directory / "log").iterdir()):
            (directory / "log").rmdir()
    except OSError as error:
        raise StorageError(f"Could not remove the merged blocks of {directory}: {error.strerror or error}.") from error
    return path
