"""Claims: of all processes that play cells of a sweep, one has a cell. A claim is a file that only one can make.

It holds the machine, the process and when that began. The claim of a dead process is taken over on its own machine; on
another machine nobody can know whether a process lives, so its claims stand until they are removed by ``foreign=True``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadLog, StorageError
from ..storage.strict_json import dumps, loads


@dataclass(frozen=True)
class Owner:
    """A process, wherever it runs. ``began`` tells it from a later one with the same number; "" if that is unknown."""

    host: str
    pid: int
    began: str

    @staticmethod
    def this() -> Owner:
        """This process."""
        return Owner(socket.gethostname(), os.getpid(), _began(os.getpid()))

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether it runs still. On another machine: as far as anyone knows."""
        if not self.is_here:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass
        return _began(self.pid) == self.began


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine was started, and which start that was; "" where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {stat.rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


class Claims:
    """The claims in a folder, one file each, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder. Raises StorageError where its file system cannot keep two processes apart."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{socket.gethostname()}-{os.getpid()}"
            with contextlib.suppress(FileNotFoundError):
                probe.unlink()
            with self._alone():
                _make(probe, "")
                try:
                    _make(probe, "")
                    apart = False
                except FileExistsError:
                    apart = True
            probe.unlink()
        except OSError as error:
            raise StorageError(f"Could not write in {self.folder}: {error.strerror or error}.") from error
        if not apart:
            raise StorageError(
                f"{self.folder} is on a file system where two processes can make the same file: they would play the "
                "same cells. Choose a folder on another one."
            )

    def take(self, name: str, foreign: bool = False) -> bool:
        """Claim ``name`` for this process; False if a living process has it. ``foreign``: claims elsewhere are void."""
        try:
            with self._alone():
                owner = self.owner(name)
                if owner is not None and owner.lives and (owner.is_here or not foreign):
                    return False
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / name).unlink()
                me = Owner.this()
                _make(self.folder / name, dumps({"host": me.host, "pid": me.pid, "began": me.began}))
        except FileExistsError:  # made on another machine, by a file system whose locks do not reach it
            return False
        except OSError as error:
            raise StorageError(f"Could not claim a cell in {self.folder}: {error.strerror or error}.") from error
        return True

    def release(self, name: str) -> None:
        """Give up a claim of this process."""
        with contextlib.suppress(OSError):
            if self.owner(name) == Owner.this():
                (self.folder / name).unlink()

    def owner(self, name: str) -> Owner | None:
        """Who has claimed ``name``; None if nobody has."""
        with contextlib.suppress(BadLog, LookupError, TypeError, ValueError):  # cut short by a kill: nobody's
            found: dict[str, Any] = loads(self.folder / name)
            return Owner(str(found["host"]), int(found["pid"]), str(found["began"]))
        return None

    def taken(self) -> dict[str, Owner]:
        """All claims of living processes, by name."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if not entry.name.startswith(".")]
        except OSError:
            return {}
        owners = ((name, self.owner(name)) for name in names)
        return {name: owner for name, owner in owners if owner is not None and owner.lives}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """A context that only one process of this machine is in. Raises OSError where files cannot be locked."""
        with open(self.folder / ".lock", "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _make(path: Path, text: str) -> None:
    """Make a file that does not exist. Raises FileExistsError if it does."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
