"""``counterplay sweep``: what it plays, prints and returns. Cells are played in this process where they can be."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

import counterplay as cp
from counterplay.core.storage.run_directory import RunDirectory
from counterplay.core.sweep.sweep_directory import SweepDirectory

from ..conftest import Run

GRID = "sweep quadratic --solver simgd -s lr=0.05,0.01 --steps 3 --out s".split()


def play_each(cli: Run, out: str) -> list[int]:
    """Run the lines of the executor ``command`` in this process, and return their exit codes."""
    return [cli(*shlex.split(line)[3:])[0] for line in out.splitlines()]


def test_a_grid_is_played_extended_and_left_when_done(cli: Run) -> None:
    code, out, _ = cli(*GRID, "--executor", "command")
    assert code == 0 and play_each(cli, out) == [0, 0]
    assert json.loads(cli("sweep", "status", "s", "--json")[1])["counts"] == {"max_steps": 2}
    assert cli(*GRID, "--quiet") == (0, f"2 cells: 2 max_steps.  next: counterplay summary {Path('s').resolve()}\n", "")
    code, out, _ = cli(*GRID, "--seeds", "0:2", "--executor", "command")
    assert len(out.splitlines()) == 2, "what is new alone"
    assert play_each(cli, out) == [0, 0]
    sweep = SweepDirectory("s")
    cells = sweep.cells()
    assert [c.settings for c in cells] == [{"solver.lr": lr, "seed": n} for n in (0, 1) for lr in (0.05, 0.01)]
    log = cp.open_log(sweep.directory(cells[3].name))
    alone = cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.01), steps=3, seed=1, history=True)
    assert alone.history is not None and (log["step/losses"] == alone.history["step/losses"]).all()


def test_a_broken_cell_costs_itself(cli: Run) -> None:
    """It ends with a code of its own, its message is kept, and --retry plays it again."""
    code, out, _ = cli(*GRID, "--until", "loss.x<-9e9,nonsense", "--executor", "command", "--zip", "lr,until")
    assert play_each(cli, out) == [0, 12]
    code, out, err = cli(*GRID, "--until", "loss.x<-9e9,nonsense", "--zip", "lr,until", "--quiet")
    assert (code, out) == (12, "") and "1 not_converged, 1 failed" in err
    assert "solver.lr=0.01 until=nonsense: cannot read the condition 'nonsense'" in err
    code, out, _ = cli("sweep", "status", "s")
    assert code == 0 and "failed" in out.splitlines()[-1] and "cannot read the condition" in out
    name = out.splitlines()[-1].split()[1]
    assert cli("sweep", "work", "s", "--cell", name)[0] == 12
    RunDirectory(SweepDirectory("s").directory(SweepDirectory("s").cells()[1].name)).write_status(
        "failed", 0, "Before."
    )
    code, _, err = cli("sweep", "work", "s", "--cell", name, "--retry")
    assert code == 12 and "cannot read the condition" in err


def test_seeds_are_members_of_one_run(cli: Run) -> None:
    assert cli(*GRID, "--seeds", "4:7", "--as-members", "--executor", "command")[0] == 0
    found = [cell.experiment for cell in SweepDirectory("s").cells()]
    assert [(x["solver"]["lr"], x["seed"], x["members"]) for x in found] == [(0.05, 4, 3), (0.01, 4, 3)]


def test_a_damaged_cell_is_a_failed_one_and_begins_anew(cli: Run) -> None:
    lines = cli(*GRID, "--executor", "command")[1].splitlines()
    words = shlex.split(lines[0])[3:]
    assert cli(*words)[0] == 0
    sweep = SweepDirectory("s")
    status = sweep.directory(sweep.cells()[0].name) / "status.json"
    for damage in ("{", json.dumps({"state": 3})):
        status.write_text(damage, encoding="utf-8")
        code, _, err = cli(*words)
        assert code == 12 and "status.json" in err
        assert cli(*words, "--retry")[0] == 0 and json.loads(status.read_text(encoding="utf-8"))["state"] == "max_steps"


def test_a_dry_run_lists_the_cells(cli: Run) -> None:
    code, out, _ = cli(*GRID, "--dry-run")
    *cells, total = out.splitlines()
    assert code == 0 and [line.split()[1] for line in cells] == ["solver.lr=0.05", "solver.lr=0.01"]
    assert all("3 steps  at most 0:0" in line for line in cells) and total.startswith("2 cells: at most 0:0")
    assert not Path("s").exists()


def test_a_file_and_words_make_one_grid(cli: Run) -> None:
    text = 'game = "quadratic"\nsteps = 2\n[solver]\nname = "simgd"\n[sweep]\n"solver.lr" = [0.1, 0.2]\nseeds = "0:3"\n'
    Path("s.toml").write_text(text, encoding="utf-8")
    words = ["sweep", "--config", "s.toml", "--executor", "slurm", "--workers", "4", "--out", "s"]
    code, out, _ = cli(*words, "-s", "lr=0.3")
    assert (code, out) == (0, f"sbatch {Path('s').resolve()}/sweep.sbatch\n")
    assert [c.settings for c in SweepDirectory("s").cells()] == [{"seed": n} for n in range(3)]
    script = Path("s/sweep.sbatch").read_text(encoding="utf-8")
    assert "#SBATCH --array=1-3\n" in script and subprocess.run(["bash", "-n", "s/sweep.sbatch"]).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("quadratic --solver simgd,cgdd", "unknown solver 'cgdd'; did you mean 'cgd'?"),
        ("quadratik --solver simgd", "unknown game 'quadratik'; did you mean 'quadratic'?"),
        ("quadratic --solver simgd", "give --out DIR"),
        ("quadratic --solver simgd --out s --executor locl", "unknown executor 'locl'; did you mean 'local'?"),
        ("quadratic --solver simgd --out s --scheduler a:1", "--scheduler is dask's, and the executor is local"),
        ("quadratic --solver simgd --out s --workers 0", "0 is not 1 or more"),
        ("quadratic --solver simgd -s lr=a,b --out s", "option 'lr' of solver simgd: expected a number"),
        ("quadratic --solver simgd --steps 1,x --out s", "steps: expected a whole number, 0 or more, got 'x'"),
        ("quadratic --solver simgd --seeds 3:1 --out s", "--seeds 3:1: expected whole numbers and ranges"),
        ("status nowhere", "is no sweep"),
        ("work nowhere", "is no sweep"),
    ],
)
def test_mistakes_are_sentences_before_anything_is_played(cli: Run, words: str, said: str) -> None:
    code, out, err = cli("sweep", *words.split())
    assert (code, out) == (2, "") and said in err and not Path("s").exists()


def test_help_names_what_is_typed(cli: Run) -> None:
    assert "Usage: counterplay sweep [OPTIONS] [GAME]" in cli("sweep", "--help")[1]
    assert "See counterplay sweep --help" in cli("sweep", "quadratic", "--steeps", "3")[2]
