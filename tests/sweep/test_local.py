"""Cells played by processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.storage.run_directory import RunDirectory
from counterplay.core.sweep import local
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.executors import executor
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.local import Local
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work


def test_a_sweep_is_its_runs(tmp_path: Path) -> None:
    """Each cell is the run alone, bit for bit, and a broken one costs itself."""
    from counterplay.core.cli.play_cell import play_cell  # it imports all that a run does

    base = {"game": "quadratic", "steps": 60}
    sweep = SweepDirectory(tmp_path / "s")
    cells = sweep.plan(grid(base, {"solver": ["simgd"], "solver.lr": [0.05, 0.01], "dtype": ["float64"]}))
    broken = Cell({**cells[0].experiment, "until": "nonsense"})
    cells = sweep.plan([broken])
    told: list[Any] = []

    def tell(cell: Cell, state: str) -> None:
        told.append(state)

    Local(2)(Work(sweep, play_cell), cells, tell)
    assert sorted(told) == ["failed", "max_steps", "max_steps"]
    assert "cannot read the condition 'nonsense'" in sweep.state(broken.name).message
    for cell in cells[:2]:
        lr = cell.settings["solver.lr"]
        cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=lr), steps=60, out=tmp_path / f"{lr}")
        alone, played = cp.open_log(tmp_path / f"{lr}"), cp.open_log(sweep.directory(cell.name))
        np.testing.assert_array_equal(alone["step/parameters"], played["step/parameters"])
    assert sweep.waiting(cells) == [] and sweep.claims.taken() == {}


def note(directory: Path, experiment: Mapping[str, Any]) -> None:
    """A short run: its process writes down that it played the cell. The cell 5 kills its process, the first time."""
    with open(directory.parent.parent / "played", "a", encoding="ascii") as file:
        file.write(f"{experiment['seed']} {os.getpid()}\n")
    if experiment["seed"] == 5 and not directory.exists():
        directory.mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)
    directory.mkdir(parents=True, exist_ok=True)
    RunDirectory(directory).write_status("max_steps", 1)


def test_short_cells_share_a_process_and_a_kill_costs_the_one_under_way(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    cells = sweep.plan([Cell({"seed": seed}) for seed in range(30)])
    told: list[tuple[int, str]] = []
    Local(1)(Work(sweep, note), cells, lambda cell, state: told.append((cell.experiment["seed"], state)))
    lines = [line.split() for line in (tmp_path / "played").read_text().splitlines()]
    played = [int(seed) for seed, _ in lines]
    assert played.count(5) == 2 and sorted({*played}) == list(range(30)) and len(played) == 31
    assert [seed for seed in played if seed != 5] == [seed for seed in range(30) if seed != 5]
    assert told.count((5, "killed")) == 1
    assert sorted(n for n, state in told if state == "max_steps") == list(range(30))
    assert len({pid for _, pid in lines}) <= 12


def test_cells_that_a_process_has_no_time_for_are_played_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is over after each, so that those it was given besides go back, in their order."""
    monkeypatch.setattr("counterplay.core.sweep.local._play", one_of)
    sweep = SweepDirectory(tmp_path)
    cells = sweep.plan([Cell({"seed": seed}) for seed in (*range(5), *range(6, 16))])
    Local(1)(Work(sweep, note, retry=True), cells)
    lines = [line.split() for line in (tmp_path / "played").read_text().splitlines()]
    assert [int(seed) for seed, _ in lines] == [*range(5), *range(6, 16)]
    assert len({pid for _, pid in lines}) == len(cells)


def one_of(work: Work, cells: Sequence[Cell], begun: Any) -> None:
    """What a process does whose time is over after its first cell."""
    local._SHARED_SECONDS = 0.0
    PLAY(work, cells, begun)


PLAY = local._play


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    sweep = SweepDirectory(tmp_path)
    cells = sweep.plan([Cell({"seed": 1})])
    with pytest.raises(UsageError, match=r"needs dask's distributed: python -m pip install 'counterplay\[dask\]'"):
        executor("dask", 2)(Work(sweep, print), cells)
