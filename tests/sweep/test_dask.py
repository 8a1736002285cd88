"""Sweeps on a dask cluster, whose scheduler and workers are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterplay.core.errors import UsageError
from counterplay.core.sweep.dask_cluster import Dask
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work

from ..support.sweeps import command, descendants, gone, rows, undisturbed

pytest.importorskip("distributed")

WORDS = "sweep affine-gaussian -g batch=4 --solver simgd -s lr=1e-3,1e-2 -s rule=adam --checkpoint-every 5 --steps 40"
KILLS = int(os.environ.get("KILLS", 6))
SECONDS = 300.0  # no part of a test takes so long


class Cluster:
    """A scheduler and two workers, each a process, as ``dask scheduler`` and ``dask worker`` start them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.file.unlink(missing_ok=True)
        self.scheduler = self._begin("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))
        until = time.monotonic() + SECONDS
        while not self.file.exists() and time.monotonic() < until:
            os.sched_yield()
        words = ("--nthreads", "1", "--no-dashboard", "--death-timeout", "10", "--scheduler-file", str(self.file))
        self.workers = [self._begin("worker", *words) for _ in range(2)]

    @staticmethod
    def _begin(what: str, *words: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "dask", what, *words]
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    @property
    def address(self) -> str:
        return str(self.file.read_text(encoding="utf-8").partition('"address": "')[2].partition('"')[0])

    def end(self) -> None:
        below = [pid for one in (self.scheduler, *self.workers) for pid in descendants(one.pid)]
        for one in (self.scheduler, *self.workers):
            one.kill()
            one.wait()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_nobody_answers(tmp_path: Path) -> None:
    from counterplay.core.cli.play_cell import play_cell  # it imports all that a run does

    sweep = SweepDirectory(tmp_path / "s")
    cells = sweep.plan(grid({"game": "quadratic", "steps": 3}, {"solver": ["simgd"]}))
    with pytest.raises(UsageError, match=r"no scheduler of dask answers at 127.0.0.1:9 .*start one with dask"):
        Dask(1, "127.0.0.1:9")(Work(sweep, play_cell), cells)


@pytest.mark.slow
def test_a_cluster_plays_what_one_process_does(tmp_path: Path) -> None:
    words = [*WORDS.split(), "--seeds", "0:2", "--executor", "dask", "--workers", "2", "--out", str(tmp_path / "s")]
    process = command(*words, "--quiet")
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    sweep = SweepDirectory(tmp_path / "s")
    assert rows(sweep) == rows(undisturbed(tmp_path / "whole", sweep.cells()))
    assert sweep.claims.taken() == {}


@pytest.mark.slow
def test_a_scheduler_and_workers_that_are_killed_cost_the_cells_under_way(tmp_path: Path) -> None:
    """A scheduler that is gone ends the command with 75 and a sentence; with another one the same command goes on."""
    rng, out, kills = random.Random(0), tmp_path / "s", 0
    words = [*WORDS.split(), "--seeds", "0:6", "--executor", "dask", "--out", str(out), "--quiet"]
    sweep, seen = SweepDirectory(out), set[int]()
    for _ in range(4 * KILLS):
        cluster = Cluster(tmp_path)
        try:
            process = command(*words, "--scheduler", cluster.address)
            while kills < KILLS and process.poll() is None and cluster.scheduler.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0.1, 2))
                if not sweep.claims.taken():  # no cell is under way yet
                    continue
                below = [pid for one in cluster.workers for pid in descendants(one.pid)]
                victim = cluster.scheduler.pid if kills % 2 or not below else rng.choice(below)
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
                        kills += 1
            _, err = process.communicate(timeout=SECONDS)
            below = [pid for one in cluster.workers for pid in descendants(one.pid)]
        finally:
            cluster.end()
        assert gone(below), "an orphan"
        seen.add(process.returncode)
        assert process.returncode == 0 or (process.returncode == 75 and "the same command goes on" in err), err
        if process.returncode == 0:
            break
    assert {0, 75} <= seen
    assert {sweep.state(cell.name).state for cell in sweep.cells()} == {"max_steps"}
    assert rows(sweep) == rows(undisturbed(tmp_path / "whole", sweep.cells()))
