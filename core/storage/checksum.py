"""The sum that ends every file of a log: one line of text, after the last byte that HDF5 knows of.

HDF5's own checksums leave out names, types and small data. This one covers every byte, so that damage is found before
HDF5 reads any of it; every HDF5 tool stops before the line, and ``tail -c 72`` shows it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from ..errors import BadLog

_MARK = b"sha256 "
LENGTH = len(_MARK) + 64 + 1
_checked: set[tuple[int, ...]] = set()  # files whose sum was right, and which have not been written since


def seal(data: bytes) -> bytes:
    """Return ``data`` with its sum."""
    return data + sum_of(data)


def sum_of(data: bytes | memoryview) -> bytes:
    """Return the line that ends a file of ``data``."""
    return _MARK + hashlib.sha256(data).hexdigest().encode() + b"\n"


def check_seal(file: BinaryIO, path: Path | str) -> None:
    """Raise BadLog, naming ``path``, unless the file ends with the sum of all bytes before."""
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
    """Return what changes whenever a file is written; None for what is in memory."""
    try:
        about = os.fstat(file.fileno())
    except OSError:  # in memory
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
