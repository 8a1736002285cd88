"""The files that make up one log: sealed blocks, and the whole they are merged into."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import blockfile
from .agreement import Contents, one_log
from .blockfile import Table, encode, fill, read
from .errors import BadLog, StorageError
from .rundir import write_atomic
from .schema import GROUPS, Layout

Pieces = list[tuple[Path, Contents]]
Read = Callable[[Path, str, int, int], np.ndarray]


class Files(Protocol):
    """What reads the files: the module `blockfile` itself, or a `sandbox.Sandbox` for those of a stranger."""

    def contents(self, path: Path) -> Contents: ...
    def read(self, path: Path, key: str, start: int, stop: int) -> np.ndarray: ...
    def read_all(self, path: Path, found: Contents) -> dict[str, np.ndarray]: ...


def blocks_of(directory: Path) -> list[Path]:
    """Return the sealed blocks of a run directory in order; drafts of blocks are not among them."""
    if (directory / "log").is_symlink():  # whoever merges removes the blocks: those of another run
        raise BadLog(f"{directory / 'log'} is a link; a run directory holds plain files and folders only.")
    try:
        names = [p for p in (directory / "log").iterdir() if re.fullmatch(r"\d{6,12}\.h5", p.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"Could not read {directory / 'log'}: {error.strerror or error}.") from error
    return sorted(names, key=lambda block: int(block.stem))


def pieces_of(directory: Path, files: Files = blockfile) -> Pieces:
    """Return the files that make up a log, in order: log.h5 if there, then the blocks it does not hold yet.

    A crash between writing log.h5 and removing its blocks leaves them behind. Which ones it holds is told by their
    steps, not by a note in the file: a log's content must not depend on interruptions.
    """
    whole = directory / "log.h5"
    pieces: Pieces = [(whole, files.contents(whole))] if os.path.lexists(whole) else []
    last = _last_steps(pieces, files)
    for block in blocks_of(directory):
        found = files.contents(block)
        if not last or any(s > last.get(g, -1) for g, s in _last_steps([(block, found)], files).items()):
            pieces.append((block, found))
    one_log(pieces)
    return pieces


def _last_steps(pieces: Pieces, files: Files) -> dict[str, int]:
    ends: dict[str, int] = {}
    for path, found in pieces:
        for group in GROUPS:
            if n := found.length(group):
                ends[group] = int(files.read(path, f"{group}/step", n - 1, n)[0])
    return ends


def column(pieces: Pieces, key: str, start: int, stop: int, read: Read = read) -> np.ndarray:
    """Return rows ``start`` to ``stop`` of ``key`` over all ``pieces``, reading only the files that hold them."""
    group = key.partition("/")[0]
    shapes = [found.shapes[key] for _, found in pieces if key in found.shapes]
    if len({len(s) for s in shapes}) != 1:
        raise BadLog(f"The files of the log beside {pieces[0][0]} disagree on the axes of {key!r}.")
    dtype = np.dtype(next(found.variables[key].dtype for _, found in pieces if key in found.variables))
    tail = tuple(max(sizes) for sizes in zip(*(s[1:] for s in shapes), strict=True))
    rows = np.full((max(0, stop - start), *tail), fill(dtype), dtype=dtype)
    offset = 0
    for path, found in pieces:
        n = found.length(group)
        low, high = max(start - offset, 0), min(stop - offset, n)
        if low < high and key in found.shapes:
            part = read(path, key, low, high)
            if part.shape != (high - low, *found.shapes[key][1:]):
                raise BadLog(f"{path} changed while it was read.")
            at = offset + low - start
            rows[(slice(at, at + len(part)), *(slice(k) for k in part.shape[1:]))] = part
        offset += n
    return rows


def whole(pieces: Pieces, layout: Layout | None = None, files: Files = blockfile) -> bytes:
    """Return the files of a log as one file.

    ``layout`` gives labels and attributes where there is no block to take them from.
    """
    held = {path: files.read_all(path, found) for path, found in pieces}  # each file is opened and walked once
    tables: dict[str, Table] = {}
    for group in GROUPS:
        table = tables[group] = Table()
        total = sum(found.length(group) for _, found in pieces)
        for _, found in pieces:
            own = {k.partition("/")[2]: v for k, v in found.variables.items() if k.startswith(f"{group}/")}
            table.variables = {**own, **table.variables}
        for name in table.variables:
            table.columns[name] = column(pieces, f"{group}/{name}", 0, total, lambda p, k, a, b: held[p][k][a:b])
    labels: dict[str, Any] = {} if layout is None else dict(layout.labels())
    attrs: dict[str, Any] = {} if layout is None else dict(layout.attrs)
    for _, found in pieces:
        labels.update(found.labels)
        attrs.update(found.attrs)
    return encode(tables, labels, attrs)


def merge(directory: Path | str, layout: Layout | None = None, files: Files = blockfile) -> Path:
    """Write the blocks of a run directory as one file log.h5, remove them, and return its path.

    ``layout`` gives labels and attributes where there is no block to take them from. A crash at any moment leaves a
    readable log; merging again completes it.
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
