"""Read the files of a log in another process, under limits of memory and time: a bad file costs a BadLog, no more.

It offers what `hdf5` offers, `contents` and `read`, so that whatever reads logs can read through either.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from threading import Lock, Timer
from typing import Any, BinaryIO

import msgspec
import numpy as np

from .. import errors
from ..errors import BadLog, UserError, printable
from ..storage.safe_open import open_plain
from .schema_check import Contents, row_ranges

# The limits, all of them.
SECONDS = 30.0  # one answer takes no longer, half of it computing, but for the time it takes to read the file
STARTING = 60.0  # seconds in which the reader has started
RATE = 10e6  # bytes a second that any disk gives
MEMORY = 1 << 30  # address space of the process
PART = 64 << 20  # bytes of one answer
MOST = 512 << 20  # bytes of one array, in as many answers as it takes
TEXT = 64 << 20  # bytes of one description

_START = "import sys; sys.path[:] = {path!r}; from counterplay.core.log.sandbox_worker import serve; serve({args})"
_NO = "which no log of counterplay does: the file was not read"


Number = int | float | None


class BriefFields(msgspec.Struct):
    """What a reader may answer of a run in brief."""

    losses: dict[str, Number]
    gradient_norms: dict[str, Number]
    gradient_norm: Number
    costs: dict[str, Number]
    reached: dict[str, Number] | None
    metrics: dict[str, Number]


class Sandbox:
    """A process that reads; it starts when first asked, and again after a file that ended it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Any = lambda: None
        self._known: dict[tuple[Any, ...], Contents] = {}  # of files that have not changed since

    def contents(self, path: Path | str) -> Contents:
        """Return what a file holds, as `hdf5.contents` does."""
        with open_plain(path) as file:
            about = os.fstat(file.fileno())
            key = (str(path), about.st_ino, about.st_size, about.st_mtime_ns)
            if key not in self._known:
                answer, _ = self._ask({"path": str(path)}, file)
                try:
                    found = msgspec.convert(answer["contents"], Contents)
                    if any(np.dtype(v.dtype).kind not in "iufc" for v in found.variables.values()):
                        raise TypeError("a variable that is no number")
                except (ValueError, TypeError, KeyError, UserError) as error:
                    raise self._strange(path) from error
                self._known[key] = found
            return self._known[key]

    def read(self, path: Path | str, key: str, start: int, stop: int) -> np.ndarray:
        """Return rows of a variable, as `hdf5.read` does. Raises BadLog for more than ``MOST`` bytes."""
        found = self.contents(path)
        each, tail = found.row_bytes(key), found.shapes[key][1:]
        if (size := (stop - start) * each) > MOST:
            raise BadLog(f"{path} has {size:,} bytes of {key} to be read at once, {_NO}.")
        rows = np.empty((stop - start, *tail), dtype=found.variables[key].dtype)
        for low, high in row_ranges(stop - start, each, PART):
            with open_plain(path) as file:
                answer, data = self._ask(
                    {"path": str(path), "key": key, "start": start + low, "stop": start + high}, file
                )
            if answer != {"dtype": rows.dtype.str, "shape": [high - low, *tail]} or len(data) != (high - low) * each:
                raise self._strange(path)
            rows[low:high] = np.frombuffer(data, dtype=rows.dtype).reshape(high - low, *tail)
        return rows

    def read_rows(self, path: Path | str, keys: Iterable[str], start: int, stop: int) -> dict[str, np.ndarray]:
        """Return rows of several variables, as `hdf5.read_rows` does."""
        return {key: self.read(path, key, start, stop) for key in keys}

    def brief(self, path: Path | str, below: float) -> dict[str, Any]:
        """Return what `brief.brief` does."""
        with open_plain(path) as file:
            answer, _ = self._ask({"path": str(path), "below": below}, file)
        try:
            return msgspec.to_builtins(msgspec.convert(answer["brief"], BriefFields))
        except (msgspec.ValidationError, KeyError) as error:
            raise self._strange(path) from error

    def close(self) -> None:
        """End the process."""
        self._end()
        self._process = None

    def _ask(self, asked: dict[str, Any], file: BinaryIO) -> tuple[dict[str, Any], bytes]:
        path = asked["path"] = printable(asked["path"])  # for messages: what is read is ``file``
        reading = os.fstat(file.fileno()).st_size / RATE
        asked["seconds"] = SECONDS / 2 + reading
        with self._lock:
            process, worker = self._started()
            until = time.monotonic() + SECONDS + reading
            late = Timer(SECONDS + reading, process.kill)
            late.daemon = True
            late.start()
            try:
                send_handle(worker, file.fileno(), process.pid)
                worker.send_bytes(json.dumps(asked).encode())
                answer = msgspec.json.decode(worker.recv_bytes(TEXT), type=dict[str, Any])
                data = worker.recv_bytes(MOST) if "dtype" in answer else b""
            except (EOFError, OSError) as error:
                if str(error) == "bad message length":  # as Connection says of more than it may receive
                    self.close()
                    raise BadLog(f"{path} has too many bytes to be read at once, {_NO}.") from error
                busy, what = time.monotonic() >= until, f"made its reader end ({self._how(process)})"
                what = f"kept its reader busy for more than {SECONDS:.0f} seconds" if busy else what
                raise BadLog(f"{path} {what}, {_NO}.") from error
            except (ValueError, msgspec.MsgspecError) as error:  # which is a ValueError in newer releases only
                self.close()
                raise self._strange(path) from error
            except BaseException:  # Ctrl-C too: the next answer must not be taken for another's
                self.close()
                raise
            finally:
                late.cancel()
        if "error" in answer:
            kind = {"StorageError": errors.StorageError, "UsageError": errors.UsageError}.get(answer["error"], BadLog)
            raise kind(str(answer.get("message")))
        return answer, data

    def _strange(self, path: Path | str) -> BadLog:
        return BadLog(f"{path} made its reader answer nonsense, {_NO}.")

    def _how(self, process: subprocess.Popen[bytes]) -> str:
        """In words, how the process came to its end, which is at hand: it has closed the pipe."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
        self.close()
        code = process.returncode
        return signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"exit code {code}"

    def _started(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if self._process is None:
            ours, theirs = Pipe()
            args = f"{theirs.fileno()}, {MEMORY}"
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START.format(path=sys.path, args=args)],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=None if os.environ.get("COUNTERPLAY_DEBUG", "0") not in ("", "0") else subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C is its parent's business
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
            self._end = weakref.finalize(self, _ended, process, ours)
            self._process, self._worker = process, ours
            try:
                if not ours.poll(STARTING):
                    raise TimeoutError
                ours.recv_bytes()
            except (EOFError, OSError) as error:
                self.close()
                raise RuntimeError("The process that reads logs did not start.") from error
        return self._process, self._worker


def _ended(process: subprocess.Popen[bytes], worker: Connection) -> None:
    worker.close()
    process.kill()
    process.wait()
