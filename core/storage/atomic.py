"""Files that are written whole or not at all, and are on the disk when the function returns."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path | str, data: bytes | Iterable[bytes]) -> Path:
    """Write ``data`` to ``path`` so that at any moment, even after a crash, either the old or the new file is there.

    ``data`` may come in parts, which need not fit into memory together. Raises StorageError, which names the path,
    where the file system refuses.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.tmp")  # never ends in .h5, so that no reader takes a draft for a block
    try:
        draft.unlink(missing_ok=True)  # in a stranger's directory it may be a link to a file of the user's
        write_new(draft, data)
        os.replace(draft, path)
        sync_directory(path.parent)
    except BaseException as error:  # the parts are computed while they are written, and that may fail
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        what = f"there is no directory {path.parent}" if not path.parent.is_dir() else error.strerror or error
        advice = "Free some space or choose another place" if error.errno in _FULL else "Choose another place"
        raise StorageError(f"Could not write {path}: {what}. {advice}.") from error
    return path


def write_new(path: Path | str, *parts: bytes | memoryview | Iterable[bytes], synced: bool = True) -> None:
    """Write a new file; if ``synced``, return only when it is on the disk."""
    with open(path, "xb") as file:
        for part in parts:
            file.writelines([part] if isinstance(part, (bytes, memoryview)) else part)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def sync_directory(directory: Path | str) -> None:
    """Make a rename survive a power cut. Does nothing where directories cannot be opened, as on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
