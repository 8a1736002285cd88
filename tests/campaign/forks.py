"""Children that end in all the ways a process can, from a parent that has imported everything once."""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120.0  # none takes so long


@dataclass(frozen=True)
class End:
    """Exit code, or minus the signal; what was said on the standard error; the last number that was told."""

    code: int
    said: str
    told: int


def child(
    work: Callable[[Callable[[int], object]], object], errors: Path, kill_after: float | None = None, tells: int = 0
) -> End:
    """``work(tell)`` in a process of its own, killed outright if it has not ended so many seconds after it told.

    They count from its start, or from the number ``tells`` that it told.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.close(reader)
            handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            work(lambda number: os.write(writer, struct.pack("q", number)))
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + (SECONDS if kill_after is None or tells else kill_after)
    told, data = -1, b""
    while (left := deadline - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
        if not (more := os.read(reader, 1 << 16)):
            break
        data += more
        if kill_after is not None and 0 < tells <= len(data) // 8:
            tells, deadline = 0, time.monotonic() + kill_after
    os.kill(pid, signal.SIGKILL)  # a no-op on one that has ended: its number is not free before wait
    _, status = os.waitpid(pid, 0)
    while more := os.read(reader, 1 << 16):
        data += more
    os.close(reader)
    if whole := len(data) // 8:
        told = struct.unpack("q", data[8 * whole - 8 : 8 * whole])[0]
    return End(os.waitstatus_to_exitcode(status), errors.read_text() if errors.exists() else "", told)
