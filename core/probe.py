"""Third parties are imported in a process of their own first: one that hangs or ends its process is found out there.

That process is given the entry points and answers on a pipe: a byte when it is ready, and one for each import that
came back, well or with an exception.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint

SECONDS = 20.0  # an import may take so long
START_SECONDS = 120.0  # and Python and torch, on a slow disk


def deadly(points: Sequence[EntryPoint]) -> dict[EntryPoint, str]:
    """Which of ``points`` hang when they are imported, or end the process, and how they do."""
    found: dict[EntryPoint, str] = {}
    rest = list(points)
    while rest:
        survived, end = _imported(rest)
        if survived < len(rest) and end:
            found[rest[survived]] = end
        rest = rest[survived + 1 :] if end else []
    return found


def _imported(points: Sequence[EntryPoint]) -> tuple[int, str]:
    """How many came back in one process, and what became of the next; "" where all did, or no process is to be had."""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", f"from {__name__} import child; child({writer})"]
    asked = {"path": sys.path, "points": [[p.name, p.value, p.group] for p in points]}
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=null, stderr=null, pass_fds=[writer], start_new_session=True
        )
    except OSError:
        os.close(reader)
        return 0, ""
    finally:
        os.close(writer)
    try:
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin:
            process.stdin.write(json.dumps(asked).encode())
        came = -1  # until it is ready
        while ready := select.select([reader], [], [], START_SECONDS if came < 0 else SECONDS)[0]:
            if not os.read(reader, 1):
                break
            came += 1
        if came in (-1, len(points)):
            return len(points), ""
        return came, _end(process.wait()) if ready else f"hangs when it is imported: no end after {SECONDS:g} s"
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(code: int) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"ends the process when it is imported, with {how}"


def child(pipe: int) -> None:
    """What that process does."""
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    with contextlib.suppress(ImportError):
        import_module("torch")
    os.write(pipe, b".")
    for name, value, group in asked["points"]:
        with contextlib.suppress(BaseException):
            EntryPoint(name, value, group).load()
        os.write(pipe, b".")
    os._exit(0)  # whatever threads were started
