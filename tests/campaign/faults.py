"""A file system that fails at a point of our choosing: the functions by which anything is written, wrapped."""

from __future__ import annotations

import builtins
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

GROW = {"open", "write", "flush", "fsync", "truncate", "mkdir", "replace"}  # what a full disk refuses
ALL = GROW | {"unlink", "rmdir", "sync"}

# What happens at the n-th operation and after: the error, which operations it befalls, whether it lasts.
MODES: dict[str, tuple[int, set[str], bool]] = {
    "full": (errno.ENOSPC, GROW, True),
    "short": (errno.ENOSPC, GROW, True),  # and half of what was being written has got there
    "broken": (errno.EIO, ALL, True),
    "hiccup": (errno.EIO, ALL, False),
    "readonly": (errno.EROFS, ALL, True),
    "gone": (errno.ENOENT, set(), True),  # the run directory is moved away; the system itself answers
    "kill": (0, ALL, False),
    "torn": (0, {"write"}, False),  # killed when half has been written
    "none": (0, set(), False),
}


class Faults:
    """Counts operations; at number ``point`` the ``mode`` sets in."""

    def __init__(self, mode: str, point: int, directory: Path) -> None:
        self.mode, self.point, self.directory, self.count = mode, point, directory, 0
        self.kinds: list[str] = []

    def __call__(self, kind: str, half: Callable[[], Any] = lambda: None) -> None:
        self.count += 1
        self.kinds.append(kind)
        number, kinds, lasts = MODES[self.mode]
        here = self.count == self.point
        if here and self.mode == "gone" and self.directory.exists():
            REPLACE(self.directory, self.directory.with_name("elsewhere"))
        if not (here or (lasts and self.count > self.point)) or kind not in kinds:
            return
        if here and self.mode in ("short", "torn"):
            half()
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(number, os.strerror(number))

    def install(self) -> None:
        """In this process, for good."""
        for kind in ("fsync", "replace", "mkdir", "unlink", "rmdir"):
            setattr(os, kind, self._wrapped(kind, getattr(os, kind)))
        opened, os_open = builtins.open, os.open

        def faulty_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wxa+") or file == os.devnull:
                return opened(file, mode, *args, **kwargs)
            self("open")
            return File(opened(file, mode, *args, **kwargs), self)

        def faulty_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_DIRECTORY and not kwargs:
                self("sync")
            return os_open(path, flags, *args, **kwargs)

        builtins.open, os.open = faulty_open, faulty_os_open

    def _wrapped(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self(kind)
            return call(*args, **kwargs)

        return called


REPLACE = os.replace


class File:
    """A file whose writing goes through the faults."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self.file, self.faults = file, faults

    def write(self, data: Any) -> int:
        def half() -> None:
            whole = data if isinstance(data, str) else bytes(data)
            self.file.write(whole[: len(whole) // 2])
            self.file.flush()

        self.faults("write", half)
        return self.file.write(data)

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.write(part)

    def flush(self) -> None:
        self.faults("flush")
        self.file.flush()

    def truncate(self) -> None:
        self.faults("truncate")
        self.file.truncate()

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
