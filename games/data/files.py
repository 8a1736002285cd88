"""Files of data sets: opened, unpacked within bounds, and refused in a sentence. They may come from a stranger.

Unlike a run directory, a user's folder of data may have links in it, which are followed. Pipes and devices are refused.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from ...core.errors import BadData, StorageError, UsageError, UserError

BLOCK = 1 << 20  # bytes that are read at once: memory grows with what is there, not with what a header claims
MOST = 1 << 30  # bytes of one file of a data set of fixed form, unpacked
_GZIP = b"\x1f\x8b"
_SUMS = {32: "md5", 40: "sha1", 64: "sha256"}  # by the length of a sum, in hexadecimal digits


def folder(root: str, holds: str) -> Path:
    """The folder of the option ``root``; ``holds`` says what it should hold. Raises UsageError if there is none."""
    path = Path(root).expanduser()
    if not path.is_dir():
        found = "is no folder" if path.exists() else "does not exist"
        raise UsageError(f"{path} {found}: give the folder with {holds} as root. Nothing is downloaded.")
    return path


@contextmanager
def opened(path: Path, what: str, unpack: bool = True) -> Iterator[BinaryIO]:
    """A file, unpacked if it is gzip. ``what`` it should be ends the sentence if it does not exist.

    Raises UsageError if it cannot be opened, and BadData for whatever a parser raises in the block.
    """
    with _plain(path, what) as file, refused(path):
        if not unpack or file.peek(2)[:2] != _GZIP:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked  # type: ignore[misc]


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turn whatever a parser of the file raises into BadData, which names it."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except EOFError:
        raise BadData(f"{path} is cut short: it ends before its data do. Get it again.") from None
    except OSError as error:
        if error.errno is not None:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
        raise _damaged(path, error) from error
    except Exception as error:  # parsers of foreign formats raise whatever they come upon
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BadData:
    """The error for what a parser said, which may be long, empty, or name a class of the parser's only."""
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return BadData(f"{path} is damaged or of another format: {textwrap.shorten(said, 160)}. Get it again.")


def _plain(path: Path, what: str) -> BufferedReader:
    """Open a plain file, without waiting for a pipe's other end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} cannot be opened: {reason}. Give {what}.") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UsageError(f"{path} is a folder, a pipe or a device. Give {what}.")
    return os.fdopen(handle, "rb")


def take(file: BinaryIO, count: int, path: Path, what: str) -> bytearray:
    """The next ``count`` bytes. Raises BadData if there are fewer."""
    data = bytearray()
    while len(data) < count and (block := file.read(min(BLOCK, count - len(data)))):
        data += block
    if len(data) < count:
        raise BadData(f"{path} is cut short: {what} takes {count:,} bytes, and {len(data):,} are there. Get it again.")
    return data


def at_end(file: BinaryIO, path: Path) -> None:
    """Raise BadData unless all has been read. The checksum of what is packed is tested then."""
    if file.read(1):
        raise BadData(f"{path} goes on after the last of its data: it is damaged or of another format. Get it again.")


def source_of(found: Mapping[str, bytes | bytearray], sums: Mapping[str, str], where: Path) -> str:
    """What files are, in words: the official ones, or others. ``sums`` has the name of each official file by its sum.

    Raises BadData where one of the files, by name, is another official one.
    """
    known = 0
    for name, data in found.items():
        held = sums.get(hashlib.new(_SUMS[len(next(iter(sums)))], data, usedforsecurity=False).hexdigest())
        if held not in (None, name):
            raise BadData(f"{where} has {held} in the place of {name}. Put the right files there.")
        known += held == name
    return "the official files" if known == len(found) else "not the official files: their sums differ"


def take_all(file: BinaryIO, most: int, path: Path) -> bytearray:
    """All that is left. Raises BadData if it is more than ``most`` bytes."""
    data = bytearray()
    while block := file.read(BLOCK):
        data += block
        if len(data) > most:
            raise BadData(f"{path} has more than {most:,} bytes when it is unpacked; such a file has fewer.")
    return data


class Bounded:
    """A stream of at most ``most`` bytes; more is BadData. It guards parsers that read as much as a header claims."""

    def __init__(self, file: BinaryIO, most: int, path: Path) -> None:
        self.file, self.left, self.path = file, most, path

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes, and at most a block of them."""
        data = self.file.read(min(count, BLOCK))
        self.left -= len(data)
        if self.left < 0:
            raise BadData(f"{self.path} is larger, when it is unpacked, than any file of its kind.")
        return data
