"""Cells played by processes of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.errors import UsageError
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


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    sweep = SweepDirectory(tmp_path)
    cells = sweep.plan([Cell({"seed": 1})])
    with pytest.raises(UsageError, match=r"needs dask's distributed: python -m pip install 'counterplay\[dask\]'"):
        executor("dask", 2)(Work(sweep, print), cells)
