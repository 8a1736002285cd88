"""The directory of a sweep: what is asked is written once, and what is done is read from the disk."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from counterplay.core.errors import BadLog, StorageError, UsageError
from counterplay.core.storage import lock
from counterplay.core.storage.run_directory import RunDirectory
from counterplay.core.sweep import claims
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.claims import Claims
from counterplay.core.sweep.sweep_directory import SweepDirectory
from counterplay.core.sweep.work import Work


def cells(count: int, **more: Any) -> list[Cell]:
    return [Cell({"game": {"name": "g"}, "steps": 9, "seed": n, **more}, {"seed": n}) for n in range(count)]


def test_cells_are_read_as_they_were_planned(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path / "s")
    asked = cells(3, blowup=math.inf, solver={"lr": [1e-3, None]})
    assert sweep.plan(asked) == SweepDirectory(tmp_path / "s").cells() == asked
    file = json.loads((tmp_path / "s" / "sweep.json").read_text(encoding="utf-8"))
    assert file["axes"] == {"seed": [0, 1, 2]}
    assert [entry["experiment"] for entry in file["cells"]] == [{"seed": n} for n in range(3)]
    assert [entry["name"] for entry in file["cells"]] == [cell.name for cell in asked]


def test_planning_compares_each_cell_a_few_times_and_not_with_all_others(tmp_path: Path) -> None:
    class Seed(int):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Seed.compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    asked = [Cell({"game": {"name": "g"}, "seed": Seed(n)}, {"seed": Seed(n)}) for n in range(60)]
    SweepDirectory(tmp_path / "s").plan(asked)
    assert json.loads((tmp_path / "s" / "sweep.json").read_text("utf-8"))["axes"] == {"seed": list(range(60))}
    assert Seed.compared <= 2 * len(asked)


def test_a_sweep_grows_and_keeps_what_it_has(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    sweep.plan(cells(2))
    more = [Cell({**cell.experiment, "steps": 10}, {"steps": 10}) for cell in cells(1)]
    old = [Cell(cell.experiment, {**cell.settings, "steps": 9}) for cell in cells(3)]
    new = Cell(more[0].experiment, {"seed": 0, "steps": 10})
    assert sweep.plan([*more, *cells(3)]) == [*old[:2], new, old[2]]


def test_states_are_those_on_the_disk(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    names = [cell.name for cell in sweep.plan(cells(7))]
    runs = [RunDirectory.create(sweep.directory(name), {}) for name in names[1:]]
    for run, state in zip(runs, ["diverged", "failed", "interrupted", "running", "running", "max_steps"], strict=True):
        run.write_status(state, 5, f"It {state}.")
    with lock.acquire(runs[4].path):
        assert [(s.state, s.step) for s in map(sweep.state, names)] == [
            ("waiting", 0), ("diverged", 5), ("failed", 5), ("waiting", 5), ("waiting", 5), ("running", 5),
            ("max_steps", 5),
        ]  # fmt: skip
    assert sweep.state(names[2]).message == "It failed."
    assert [c.settings["seed"] for c in sweep.waiting(cells(7))] == [0, 3, 4, 5]
    assert [c.settings["seed"] for c in sweep.waiting(cells(7), failed=True)] == [0, 2, 3, 4, 5]


def test_work_plays_a_cell_once_and_keeps_the_reason_of_a_failure(tmp_path: Path) -> None:
    played: list[int] = []

    def play(directory: Path, experiment: dict[str, Any]) -> None:
        assert not sweep.claims.take(directory.name), "another process could play it"
        played.append(experiment["seed"])
        if experiment["seed"] == 1:
            raise UsageError("No.")
        RunDirectory.create(directory, {}).write_status("max_steps", 9)

    sweep = SweepDirectory(tmp_path)
    planned = sweep.plan(cells(3))
    work = Work(sweep, play)
    assert [work(cell) for cell in planned] == [work(cell) for cell in planned] == ["max_steps", "failed", "max_steps"]
    assert played == [0, 1, 2] and sweep.claims.taken() == {}
    assert sweep.state(planned[1].name).message == "No."
    assert Work(sweep, play, retry=True)(planned[1]) == "failed" and played == [0, 1, 2, 1]


def test_claims_of_dead_processes_are_taken_over(tmp_path: Path) -> None:
    folder = Claims(tmp_path)
    folder.prepare()
    script = (
        "import pathlib, sys, counterplay.core.sweep.claims as c; print(c.Claims(pathlib.Path(sys.argv[1])).take('a'))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    assert (owner := folder.owner("a")) is not None and not owner.lives
    assert folder.take("a") and not folder.take("a") and set(folder.taken()) == {"a"}
    (tmp_path / "a").write_text(json.dumps({"host": "elsewhere", "pid": os.getpid(), "began": ""}), encoding="utf-8")
    folder.release("a")
    assert not folder.take("a") and folder.take("a", foreign=True)
    (tmp_path / "a").write_text("", encoding="utf-8")  # its owner was killed before it could write
    assert folder.take("a")
    folder.release("a")
    assert folder.owner("a") is None


def test_a_number_that_another_process_has_now_is_not_its_owner(tmp_path: Path) -> None:
    folder = Claims(tmp_path)
    folder.take("a")
    facts = json.loads((tmp_path / "a").read_text(encoding="utf-8"))
    (tmp_path / "a").write_text(json.dumps({**facts, "began": facts["began"] + "0"}), encoding="utf-8")
    assert folder.taken() == {} and folder.take("a")


def test_a_folder_without_exclusive_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_make", lambda path, text: path.write_text(text))
    with pytest.raises(StorageError, match="two processes can make the same file"):
        SweepDirectory(tmp_path).plan(cells(1))


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="exists and is no sweep; choose another --out"):
        SweepDirectory(tmp_path).plan(cells(1))
    with pytest.raises(UsageError, match=re.escape("is no sweep; give the --out of a counterplay sweep")):
        SweepDirectory(tmp_path).cells()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "has the format 'other' 1, expected counterplay-sweep 1"),
        ({"version": 2}, "expected counterplay-sweep 1"),
        ({"cells": 3}, "cells is the number 3, expected a list"),
        ({"common": {"steps": 8}}, "has another experiment than its name says"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    SweepDirectory(tmp_path).plan(cells(2))
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(BadLog, match=re.escape(said)):
        SweepDirectory(tmp_path).cells()
