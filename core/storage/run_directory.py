"""The directory of a run, with run.json (what was asked) and status.json (where the run stands)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import BadLog, StorageError, UsageError
from .atomic import write_atomic
from .json_fields import Run, Status, checked
from .lock import NAME, acquire, held
from .strict_json import dumps, loads

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"  # the files of a checkpoint
_BREAKS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
_DRAFT = ".run.json.tmp"  # left behind where a run was killed before run.json was written


def claim(path: Path) -> IO[str]:
    """Make a directory for a new run and hold it until the file returned is closed. Of two runs only one gets it.

    Raises Busy where a run is under way there, UsageError where the directory is not empty, StorageError where the file
    system refuses.
    """
    taken = UsageError(f"{path} exists and is not an empty directory; choose another --out or remove it.")
    try:
        if path.exists() and (not path.is_dir() or _entries(path)):
            if held(path):
                acquire(path).close()  # raises Busy, which names the process
            raise taken
        path.mkdir(parents=True, exist_ok=True)
        lock = acquire(path)
        if _entries(path):  # another run had the directory a moment ago
            lock.close()
            raise taken
    except OSError as error:
        raise StorageError(f"Could not make the run directory {path}: {error.strerror or error}.") from error
    return lock


def _entries(path: Path) -> list[str]:
    """The names in a directory, without those that a run leaves that was killed before run.json was written."""
    return [p.name for p in path.iterdir() if p.name not in (_DRAFT, NAME)]


class RunDirectory:
    """The files of one run, apart from its log and its checkpoints."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, run: Mapping[str, Any]) -> RunDirectory:
        """Make a directory, which no other process may want, and write its run.json."""
        Path(path).mkdir(parents=True, exist_ok=True)
        return cls(path).begin(run)

    def begin(self, run: Mapping[str, Any]) -> RunDirectory:
        """Write run.json into a directory that was claimed. It is never rewritten."""
        write_atomic(self.path / "run.json", dumps(run).encode())
        return self

    def run(self, kind: type[Run] = Run) -> dict[str, Any]:
        """Return run.json; {} where there is none. Raises BadLog where its fields are not those of ``kind``."""
        found = loads(self.path / "run.json")
        return checked(found, self.path / "run.json", kind) if found else {}

    def status(self, kind: type[Status] = Status) -> dict[str, Any]:
        """Return status.json; {} where there is none. Raises BadLog where its fields are not those of ``kind``."""
        found = loads(self.path / "status.json")
        return checked(found, self.path / "status.json", kind) if found else {}

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors inside into BadLog: they are caused by content of the directory that no run writes."""
        try:
            yield
        except BadLog as error:  # some errors of states do not name the path
            if str(self.path) in str(error):
                raise
            raise BadLog(f"{self.path}: {error}") from error
        except UsageError as error:
            raise BadLog(f"{self.path} holds what no run writes: {error}") from error
        except _BREAKS as error:
            what = f"{type(error).__name__}: {error}"
            raise BadLog(
                f"{self.path} holds what no run of this version writes ({what:.200}); it cannot go on."
            ) from error

    def write_status(self, state: str, step: int, reason: str = "", **facts: Any) -> None:
        """Replace status.json. ``state`` is one of ``schema.RUN_STATES``, ``reason`` a sentence."""
        now = time.time()
        started = self.status().get("started_seconds", now)
        known = {"state": state, "step": int(step), "reason": reason, "pid": os.getpid()}
        times = {"started_seconds": started, "updated_seconds": now}
        write_atomic(self.path / "status.json", dumps({**known, **facts, **times}).encode())
