"""Third parties are imported in a process of their own first: one that hangs or ends its process is found out there.

That process is given the entry points and answers on a pipe: a byte when it is ready, and two for each entry point,
when its import came back, well or with an exception, and when its hooks did.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import thread as pools
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import IO, Any, cast

import click
import pluggy

from . import hookspecs

SECONDS = 20.0  # an import may take so long, and so may the hooks
THREAD_SECONDS = 2.0  # and a thread that one of them started may go on for so long
START_SECONDS = 120.0  # and Python and torch, on a slow disk
_DONE, _LASTS = b".", b"t"


def deadly(points: Sequence[EntryPoint]) -> dict[EntryPoint, str]:
    """Which of ``points`` hang, end the process or keep it from ending, and how they do."""
    found: dict[EntryPoint, str] = {}
    rest = list(points)
    while rest:
        answers, end = _tried(rest)
        lasting = (p for p, answer in zip(rest, answers[1::2], strict=False) if answer == _LASTS[0])
        found |= dict.fromkeys(lasting, "starts a thread that does not end: make it a daemon, or start it in a step")
        if not end:
            break
        met = len(answers) // 2
        found[rest[met]] = end.format(when="its hooks are called" if len(answers) % 2 else "it is imported")
        rest = rest[met + 1 :]
    return found


def _tried(points: Sequence[EntryPoint]) -> tuple[bytes, str]:
    """The answers from one process, and what became of the next; "" where all came, or no process is to be had."""
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
        return b"", ""
    finally:
        os.close(writer)
    try:
        with contextlib.suppress(OSError), cast(IO[bytes], process.stdin) as line:
            line.write(json.dumps(asked).encode())
        came = b""
        while ready := select.select([reader], [], [], SECONDS if came else START_SECONDS)[0]:
            if not (answer := os.read(reader, 1)):
                break
            came += answer
        if len(came) in (0, 1 + 2 * len(points)):
            return came[1:], ""
        return came[1:], _end(process.wait()) if ready else f"hangs when {{when}}: no end after {SECONDS:g} s"
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(code: int) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"ends the process when {{when}}, with {how}"


def child(pipe: int) -> None:
    """What that process does."""
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    with contextlib.suppress(ImportError):
        import_module("torch")
    os.write(pipe, _DONE)
    for name, value, group in asked["points"]:
        before, loaded = threading.enumerate(), None
        with contextlib.suppress(BaseException):
            loaded = EntryPoint(name, value, group).load()
        os.write(pipe, _DONE)
        if loaded is not None:
            _call_hooks(loaded)
        os.write(pipe, _LASTS if _threads_since(before) else _DONE)
    os._exit(0)  # whatever threads were started


def _call_hooks(plugin: Any) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    with contextlib.suppress(BaseException):
        manager.register(plugin)
    for caller in manager.get_hookcallers(plugin) or []:
        with contextlib.suppress(BaseException):
            if caller.name == "register_commands":
                caller(group=click.Group())
            else:
                for implementation in caller.get_hookimpls():
                    answer: Any = implementation.function()
                    deque(answer, maxlen=0)  # a generator runs


def _threads_since(before: Sequence[threading.Thread]) -> bool:
    """Whether threads go on that Python would wait for when it ends; those of a pool end when they are idle."""
    until = time.monotonic() + THREAD_SECONDS
    pooled = getattr(pools, "_threads_queues", ())
    waited = [t for t in threading.enumerate() if not t.daemon and t not in before and t not in pooled]
    for thread in waited:
        thread.join(max(0.0, until - time.monotonic()))
    return any(thread.is_alive() for thread in waited)
