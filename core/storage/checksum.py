"""The checksum at the end of every file of a log: one line of text after the last byte that belongs to HDF5.

HDF5's own checksums leave out names, types and small data. This one covers every byte, so that damage is found before
HDF5 reads any of it. HDF5 tools do not read as far as this line; ``tail -c 72`` shows it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from ..errors import BadLog

_MARK = b"sha256 "
LENGTH = len(_MARK) + 64 + 1
_checked: set[tuple[int, ...]] = set()  # stamps of files whose checksum was right: a file that was written has another


def with_checksum(data: bytes) -> bytes:
    """Return ``data`` followed by its checksum line."""
    return data + checksum_line(data)


def checksum_line(data: bytes | memoryview) -> bytes:
    """Return the line that ends a file of ``data``: its sha256 sum."""
    return _MARK + hashlib.sha256(data).hexdigest().encode() + b"\n"


def check(file: BinaryIO, path: Path | str) -> None:
    """Raise BadLog, naming ``path``, unless the file ends with the checksum of all bytes before it."""
    key = stamp(file)
    if key in _checked:
        return
    left = file.seek(0, os.SEEK_END) - LENGTH
    found = hashlib.sha256()
    file.seek(0)
    while left > 0 and (data := file.read(min(left, 1 << 20))):
        found.update(data)
        left -= len(data)
    line = file.read(LENGTH)
    file.seek(0)
    if left or not line.startswith(_MARK):
        raise BadLog(
            f"{path} does not end with its sha256 sum: it is no log, was cut short, or others have changed it."
        )
    if line != _MARK + found.hexdigest().encode() + b"\n":
        raise BadLog(f"{path} is damaged: its sha256 sum is not the one it ends with.")
    if key is not None:
        _checked.add(key)


def stamp(file: BinaryIO) -> tuple[int, ...] | None:
    """Return facts of a file that change whenever it is written; None for a file in memory."""
    try:
        about = os.fstat(file.fileno())
    except OSError:  # in memory
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
