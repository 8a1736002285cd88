"""Successive halving: who is dropped at which rung, and that a cell that gets to the end is the run alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.halving import Halving, halve
from counterplay.core.sweep.local import nothing
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work

from ..conftest import Run

LRS = [0.001, 0.02, 0.01, 5.0, 0.005]
BASE = {"game": "quadratic", "solver": "simgd", "steps": 16}


def here(work: Work, cells: Sequence[Cell], tell: Any = nothing, stop: Callable[[], bool] = lambda: False) -> None:
    """An executor that plays cells in this process."""
    threads = torch.get_num_threads()
    for cell in cells:
        tell(cell, work(cell))
    torch.set_num_threads(threads)


def test_the_worse_half_is_dropped_at_each_rung(tmp_path: Path) -> None:
    """Of five the best two or three go on, and then the best one; a diverged cell never does."""
    from counterplay.core.cli.play_cell import play_cell  # it imports all that a run does

    alone = [
        cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=lr), steps=16, history=True).history
        for lr in LRS
    ]
    norms = [np.linalg.norm(h["step/gradient_norms"], axis=1) for h in alone if h is not None]  # by step
    sweep = SweepDirectory(tmp_path)
    cells = sweep.plan(grid({**BASE, "blowup": 1e4}, {"solver.lr": LRS}))
    halving = Halving.read("gradient_norm", [4, 8], cells)
    for _ in range(2):  # again, everything is on the disk
        kept = halve(halving, here, Work(sweep, play_cell), cells, nothing, lambda: False)
        first = sorted(range(5), key=lambda n: norms[n][3])[:3]
        last = sorted(first, key=lambda n: norms[n][7])[:2]
        assert {c.settings["solver.lr"] for c in kept} == {LRS[n] for n in last} and 5.0 not in [LRS[n] for n in first]
        found = {c.settings["solver.lr"]: sweep.state(c.name) for c in cells}
        assert {lr: (s.state, s.step) for lr, s in found.items() if s.state != "diverged"} == {
            LRS[n]: ("waiting" if n in last else "dropped", 8 if n in first else 4) for n in range(5) if LRS[n] != 5.0
        }
    here(Work(sweep, play_cell), sweep.waiting(cells))
    for cell in kept:
        history = alone[LRS.index(cell.settings["solver.lr"])]
        assert history is not None
        np.testing.assert_array_equal(
            cp.open_log(sweep.directory(cell.name))["step/parameters"], history["step/parameters"]
        )
    assert len(sweep.waiting(cells, failed=True)) == 2


def test_quantities_are_read_at_the_last_record_before_a_rung(tmp_path: Path) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.05)
    result = cp.run(game, solver, steps=9, every=4, members=3, out=tmp_path, history=True)
    assert (h := result.history) is not None
    cells = [Cell({"steps": 9})]

    def at(text: str, step: int) -> float:
        return Halving.read(text, [5], cells).value(tmp_path, step)

    assert at("loss.x", 5) == h["step/losses"][1, :, 0].max() and at("loss.y", 3) == h["step/losses"][0, :, 1].max()
    assert at("loss.x:max", 9) == -h["step/losses"][-1, :, 0].min()
    assert at("parameter_norm", 8) == pytest.approx(np.linalg.norm(h["step/parameter_norms"][2], axis=-1).max())
    with pytest.raises(UsageError, match=re.escape("--halving loss.z: the players are x, y.")):
        at("loss.z", 5)
    with pytest.raises(UsageError, match="record no metric 'fid'"):
        at("metric.fid", 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--halving loss", "expected gradient_norm, parameter_norm, loss.PLAYER or metric.NAME"),
        ("--halving gradient_norm --rungs 16", "lie between 0 and the last step, 16; got [16]"),
        ("--halving gradient_norm --rungs x", "--rungs x: expected steps, as 100,300."),
        ("--rungs 4", "--rungs are those of --halving METRIC"),
        ("--halving gradient_norm --executor command", "not with --limit, slurm or command"),
        ("--halving gradient_norm --steps 16,32", "steps is an axis of this sweep"),
    ],
)
def test_what_cannot_be_halved_is_a_sentence(cli: Run, words: str, said: str) -> None:
    grid_of_two = "sweep quadratic --solver simgd -s lr=0.1,0.2 --steps 16 --out s"
    code, out, err = cli(*grid_of_two.split(), *words.split())
    assert (code, out) == (2, "") and said in err
