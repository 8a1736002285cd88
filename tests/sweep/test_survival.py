"""Sweeps whose processes are killed at random moments: nothing is lost but the cells under way, and nobody is left."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.local import Local
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work

from ..support.sweeps import command, descendants, gone, rows, said, undisturbed

GRID = "sweep affine-gaussian -g batch=4 --solver simgd -s lr=1e-3,1e-2 -s rule=adam --checkpoint-every 5 --steps 40"
KILLS = int(os.environ.get("KILLS", 50))
SECONDS = 300.0  # no part of a test takes so long


def victims(parent: int) -> dict[str, int]:
    """A process of each kind in the sweep that ``parent`` plays; 0 where there is none."""
    servers = [pid for pid in descendants(parent) if "forkserver" in said(pid) and descendants(pid)]
    workers = descendants(servers[0]) if servers else []
    return {"parent": parent, "worker": (workers or [0])[-1], "fork server": (servers or [0])[0]}


def disturbed(out: Path, words: list[str], kills: int, seed: int) -> Counter[str]:
    """Play a grid again and again until it is done, killing one of its processes at each of ``kills`` moments."""
    rng, killed = random.Random(seed), Counter[str]()
    for _ in range(20 * kills + 2):
        process = command(*words, "--out", str(out), "--workers", "2", "--quiet")
        while killed.total() < kills and process.poll() is None:
            below = descendants(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 3 if len(below) > 2 else 1))
            below, found = descendants(process.pid), victims(process.pid)
            if process.poll() is not None or not all(found.values()):
                continue
            who = list(found)[killed.total() % 3]
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[who], signal.SIGKILL)
                killed[who] += 1
            if who == "parent":
                process.communicate(timeout=SECONDS)
                assert gone(below), "an orphan"
        _, err = process.communicate(timeout=SECONDS)
        if process.returncode == 0 and killed.total() == kills:
            return killed
        assert process.returncode in (0, 75, -9), err
        if process.returncode == 0:  # done before all kills: more cells are to be played
            words = [*words[:-1], f"0:{int(words[-1].split(':')[1]) + 2}"]
    raise AssertionError(f"not done: {killed}")


@pytest.mark.slow
def test_killed_and_played_again(tmp_path: Path) -> None:
    """The whole command: its workers, its fork server, and itself."""
    words = [*GRID.split(), "--seeds", "0:2"]
    killed = disturbed(tmp_path / "killed", words, KILLS, seed=0)
    assert killed.total() == KILLS and len(killed) == 3
    sweep = SweepDirectory(tmp_path / "killed")
    assert sweep.claims.taken() == {} and {sweep.state(c.name).state for c in sweep.cells()} == {"max_steps"}
    assert rows(sweep) == rows(undisturbed(tmp_path / "whole", sweep.cells()))


def test_what_is_killed_in_a_sweep_is_played_again(tmp_path: Path) -> None:
    """A worker and the fork server, while the cells are under way."""
    from counterplay.core.cli.play_cell import play_cell  # it imports all that a run does

    sweep = SweepDirectory(tmp_path / "killed")
    axes: dict[str, list[Any]] = {
        "solver": ["simgd"],
        "solver.rule": ["adam"],
        "solver.lr": [1e-3, 1e-2],
        "checkpoint_every": [5],
    }
    cells = sweep.plan(grid({"game": {"name": "affine-gaussian", "batch": 4}, "steps": 40}, axes))
    to_kill, told = ["worker", "fork server"], list[str]()

    def kill_and_go_on() -> bool:
        if (
            to_kill
            and (victim := victims(os.getpid())[to_kill[0]])
            and any(sweep.path.glob("cells/*/checkpoints/step-5"))
        ):
            to_kill.pop(0)
            os.kill(victim, signal.SIGKILL)
        return False

    Local(2)(Work(sweep, play_cell), cells, lambda cell, state: told.append(state), kill_and_go_on)
    assert not to_kill and "killed" in told and told.count("max_steps") == 2
    assert sweep.claims.taken() == {} and sweep.waiting(cells) == []
    assert rows(sweep) == rows(undisturbed(tmp_path / "whole", cells))


@pytest.mark.slow
def test_stopped_it_goes_on_and_shares_with_others(tmp_path: Path) -> None:
    """A signal ends with 75 and saves the cells under way; then two processes play what is left, each cell once."""
    out = str(tmp_path / "s")
    words = [*GRID.replace("--steps 40", "--steps 600").split(), "--seeds", "0:2"]
    process = command(*words, "--out", out, "--workers", "2")
    sweep = SweepDirectory(out)
    while not any(sweep.path.glob("cells/*/checkpoints/step-10")):
        os.sched_yield()
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 75 and "the same command goes on" in err and gone(below)
    begun = [c.name for c in sweep.cells() if sweep.directory(c.name).exists()]
    assert len(begun) == 2 and all(sweep.state(name).step >= 10 for name in begun), "saved where they were"
    others = [command("sweep", "work", out, "--workers", "1") for _ in range(2)]
    for other in others:
        _, err = other.communicate(timeout=SECONDS)
        assert other.returncode == 0, err
    assert {sweep.state(c.name).state for c in sweep.cells()} == {"max_steps"}
    assert rows(sweep) == rows(undisturbed(tmp_path / "whole", sweep.cells()))
