"""Damage is told: what is missing of a log, and which of several runs cannot be read; the others are shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog
from counterplay.core.log.schema import Layout
from counterplay.core.storage.run_directory import RunDirectory
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.sweep_directory import SweepDirectory

from ...conftest import Run
from ...support.logs import flip, interrupted, written


def run(path: Path, steps: int = 5) -> Path:
    rows = [("step", {"step": k, "losses": [1.0, 2.0], "gradient_norms": [2.0**-k, 0.0]}) for k in range(steps)]
    asked = {"game": {"name": "quadratic", "b": 3.0}, "solver": {"name": "cgd", "lr": 0.1, "on": False}, "seed": 4}
    return written(path, Layout(("x", "y")), rows, {"experiment": asked}, ("converged", steps))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("log", "run has no log, and its run has ended: interrupted at step 29"),
        ("log/000001.h5", "has no block 000001, and has 2 others"),
    ],
)
def test_what_is_missing_of_a_log_is_told_when_it_is_opened(tmp_path: Path, lost: str, said: str) -> None:
    path = interrupted(tmp_path / "run")
    shutil.rmtree(path / lost) if lost == "log" else (path / lost).unlink()
    with pytest.raises(BadLog, match=said):
        open_log(path)


def test_a_run_without_its_log_has_no_summary_and_one_without_a_status_says_so(tmp_path: Path, cli: Run) -> None:
    path = run(tmp_path / "a")
    assert "last recorded step  4\n" in cli("summary", path)[1]  # its status says 5
    (path / "status.json").unlink()
    assert "It has no status.json, which says how its run ended." in cli("summary", path)[1]
    assert "has no status.json, which says" in cli("log", "verify", path)[2]
    (path / "log.h5").unlink()
    run(tmp_path / "b").joinpath("log.h5").unlink()
    code, out, err = cli("summary", tmp_path / "b")
    assert (code, out) == (65, "") and "has no log, and its run has ended: converged at step 5" in err


def test_of_several_runs_the_good_are_shown_and_the_bad_are_named(tmp_path: Path, cli: Run) -> None:
    good, bad = run(tmp_path / "good"), run(tmp_path / "bad")
    flip(bad / "log.h5")
    code, out, err = cli("summary", good, bad)
    assert code == 65 and "b=3.0, lr=0.1" in out and "0.0625" in out
    assert "1 of 2 runs cannot be read and is left out." in err and "bad/log.h5 is damaged" in err
    code, out, _ = cli("summary", good, bad, "--json")
    assert code == 65 and "damaged" in json.loads(out)[1]["message"]
    code, out, err = cli("log", "verify", tmp_path / "none", bad, good)
    assert code == 65 and f"good  {good}/log.h5" in out and "There is no" in out


def test_a_sweep_with_a_bad_cell_is_shown_without_it(tmp_path: Path, cli: Run) -> None:
    sweep = SweepDirectory(tmp_path / "s")
    cells = sweep.plan(grid({"game": {"name": "quadratic"}, "solver": {"name": "cgd"}}, {"seed": [0, 1, 2]}))
    for cell in cells:
        run(sweep.directory(cell.name))
    (sweep.directory(cells[1].name) / "log.h5").unlink()
    RunDirectory(sweep.directory(cells[2].name)).write_status("max_steps", 5)
    code, out, err = cli("summary", sweep.path, "--sort", "step_to_0.1", "--below", "0.1")
    assert code == 65 and "unreadable" in out and "step_to_0.1" in out.split("\n\n")[0]
    assert "seed=1: " in err and "has no log" in err
    code, out, _ = cli("summary", sweep.path, "--json")
    assert [("has no log" in row.get("reason", "")) for row in json.loads(out)] == [False, True, False]
    code, out, err = cli("report", sweep.path)
    page = (sweep.path / "report.html").read_text(encoding="utf-8")
    assert code == 65 and "Wrote" in out and "Left out: seed=1" in page and "2 runs compared" in page
    code, out, _ = cli("log", "verify", sweep.path, "nothing")
    assert code == 65 and out.count("good  ") >= 8 and "There is no nothing" in out
