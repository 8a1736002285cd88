"""Sweeps played by processes of their own, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import counterplay as cp
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work


def command(*words: str) -> subprocess.Popen[str]:
    """Begin a command in a process of its own, which no signal of a terminal reaches."""
    line = [sys.executable, "-m", "counterplay.core.cli.main", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def fields(pid: int | str) -> list[str]:
    """State, parent and so on of a process, as the kernel tells; [] if there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return []


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``, the nearest first: of a sweep the fork server and what it forked."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if alive(name):
            parents.setdefault(int((fields(name) or "00")[1]), []).append(int(name))
    found, new = list[int](), [pid]
    while new:
        new = [child for parent in new for child in parents.get(parent, [])]
        found += new
    return found


def said(pid: int) -> str:
    """The command line of a process; "" if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    return ""


def alive(pid: int | str) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    return fields(pid)[:1] not in ([], ["Z"])


def gone(pids: list[int]) -> bool:
    """Whether all of these end soon."""
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        os.sched_yield()
    return not any(map(alive, pids))


def rows(sweep: SweepDirectory) -> dict[str, dict[str, bytes]]:
    """All that the logs of a sweep hold, but what the clock decides."""
    logs = {cell.name: cp.open_log(sweep.directory(cell.name)) for cell in sweep.cells()}
    return {
        name: {key: log[key].tobytes() for key in log if not key.endswith("_seconds")} for name, log in logs.items()
    }


def undisturbed(path: Path, cells: Sequence[Cell]) -> SweepDirectory:
    """The same cells, played by this process."""
    from counterplay.core.cli.play_cell import play_cell  # it imports all that a run does

    sweep = SweepDirectory(path)
    threads = torch.get_num_threads()
    work = Work(sweep, play_cell) if sweep.plan(cells) else None
    assert work is not None and {work(cell) for cell in cells} == {"max_steps"}
    torch.set_num_threads(threads)
    return sweep
