"""Children that die with their parents, also when a parent is killed and can tell nobody."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have this process killed when the process that started it is gone. To be called once, in the child.

    A fork server stands between the two. So the kernel is asked (on Linux) to kill this process with the fork server,
    and a thread waits for the end of the process that asked the fork server for it.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before the kernel was asked
            os.kill(os.getpid(), signal.SIGKILL)
    starter = multiprocessing.parent_process()
    if starter is not None:
        threading.Thread(target=_die_after, args=(starter.sentinel,), daemon=True).start()


def _die_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
