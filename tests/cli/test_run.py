"""`counterplay run`: what it says, what it records, and its dry runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ..conftest import Run

QUADRATIC = ("run", "quadratic", "--solver", "simgd")
GOOD = ("-s", "lr.x=0.09", "-s", "lr.y=0.01")
BAD = ("-s", "lr.x=0.01", "-s", "lr.y=0.09")


def test_a_run_says_how_it_ended_and_what_is_next(cli: Run) -> None:
    code, out, err = cli(*QUADRATIC, *GOOD, "--steps", "50")
    assert code == 0
    assert re.fullmatch(
        r"max_steps after 50 steps  x \S+  y \S+  log in (runs/quadratic-simgd-1); next: counterplay summary \1\n", out
    )
    assert len(err.splitlines()) == 10 and err.startswith("step 5/50  x ")  # not a terminal: a line every tenth
    assert cli(*QUADRATIC, *GOOD, "--steps", "5", "--quiet")[2] == ""
    assert Path("runs/quadratic-simgd-2/log.h5").exists()
    code, out, _ = cli("summary", "runs/quadratic-simgd-1", "--json")
    assert code == 0 and json.loads(out)["steps"] == 50


def test_what_was_asked_is_recorded(cli: Run) -> None:
    more = ("-g", "b=3", "--regularizer", "l2", "-r", "player=x", "--seed", "7")
    cli(*QUADRATIC, *GOOD, *more, "--steps", "2", "--out", "d")
    asked = json.loads(Path("d/run.json").read_text())["experiment"]
    assert asked["game"] == {"name": "quadratic", "a": 1.0, "b": 3.0, "c": 1.0}
    assert asked["solver"] == {"name": "simgd", "lr": {"x": 0.09, "y": 0.01}, "rule": {"name": "sgd"}}
    assert asked["regularizers"][0]["name"] == "l2" and asked["seed"] == 7 and asked["out"] == "d"
    assert {"kind": "solver", "name": "simgd", "source": "built in"} in asked["origins"]


def test_diverged_is_10_and_names_the_step(cli: Run) -> None:
    code, out, err = cli(*QUADRATIC, *BAD, "--steps", "2000", "--quiet", "--out", "d")
    assert code == 10 and out == ""
    assert re.match(r"Error: diverged after \d+ steps: .*[xy]/value.*The last finite state is kept; log in d;", err)


def test_until(cli: Run) -> None:
    until = ("--until", "gradient_norm<1e-6", "--quiet")
    code, out, _ = cli("run", "quadratic", "--solver", "cgd", "-s", "lr=0.1", *until)
    assert code == 0 and out.startswith("converged after ")
    code, _, err = cli(*QUADRATIC, *GOOD, "--steps", "3", *until)
    assert code == 11 and "not_converged after 3 steps" in err
    code, _, err = cli(*QUADRATIC, *GOOD, "--until", "gradient_norm=small", "--quiet")
    assert code == 2 and err.count("\n") <= 2


def test_a_taken_directory_is_refused(cli: Run) -> None:
    assert cli(*QUADRATIC, *GOOD, "--steps", "2", "--out", "d", "--quiet")[0] == 0
    before = sorted(p.name for p in Path("d").iterdir())
    code, _, err = cli(*QUADRATIC, *GOOD, "--steps", "2", "--out", "d", "--quiet")
    assert code == 2 and "d" in err and sorted(p.name for p in Path("d").iterdir()) == before
    Path("empty").mkdir()
    assert cli(*QUADRATIC, *GOOD, "--steps", "2", "--out", "empty", "--quiet")[0] == 0


def test_an_unwritable_directory_is_74(cli: Run) -> None:
    Path("file").write_text("")
    code, _, err = cli(*QUADRATIC, *GOOD, "--steps", "2", "--out", "file/d", "--quiet")
    assert code == 74 and err.startswith("Error: ")


def test_a_report_afterwards(cli: Run) -> None:
    code, _, err = cli(*QUADRATIC, *GOOD, "--steps", "20", "--out", "d", "--report", "--quiet")
    assert code == 0, err
    assert [path.name for path in Path("d").glob("*.html")] == ["report.html"]
    assert "</html>" in Path("d/report.html").read_text(encoding="utf-8")


def test_a_dry_run_can_be_run_and_prints_itself_again(cli: Run) -> None:
    asked = (*QUADRATIC, *GOOD, "-s", "rule=adam", "-s", "rule.betas=[0.5,0.999]", "--steps", "12", "--members", "2")
    code, toml, err = cli(*asked, "--regularizer", "l2", "-r", "l2.player=x", "--dry-run")
    assert code == 0 and err == "" and not Path("runs").exists()
    Path("e.toml").write_text(toml)
    assert cli("run", "--config", "e.toml", "--dry-run")[1] == toml
    assert cli(*asked, "--regularizer", "l2", "-r", "l2.player=x", "--out", "a", "--quiet")[0] == 0
    assert cli("run", "--config", "e.toml", "--out", "b", "--quiet")[0] == 0
    a, b = (json.loads(Path(d, "run.json").read_text())["experiment"] | {"out": ""} for d in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "lr.z=0.1"], "{'z': 0.1}, has one for z, who does not play"),
        (["--until", "foo<1"], "cannot read the condition 'foo<1'"),
        (["--start", "nowhere"], "nowhere does not exist"),
        (["--device", "cuda:99"], "--device cuda:99"),
        (["-s", "name=cgd"], "what -s sets are options"),
    ],
)
def test_a_dry_run_refuses_what_a_run_would(cli: Run, words: list[str], said: str) -> None:
    for dry in ([], ["--dry-run"]):
        code, out, err = cli(*QUADRATIC, *words, *dry)
        assert (code, out) == (2, "") and said in err and not list(Path("runs").glob("*"))


def test_the_command_line_wins_over_environment_and_file(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    table = 'game = "quadratic"\nsteps = 1\nseed = 1\nevery = 1\n[solver]\nname = "simgd"\nlr = 0.5\n'
    Path("e.toml").write_text(table)
    monkeypatch.setenv("COUNTERPLAY_SEED", "2")
    monkeypatch.setenv("COUNTERPLAY_EVERY", "2")
    _, toml, _ = cli("run", "--config", "e.toml", "--every", "3", "-s", "rule=adam", "--dry-run")
    assert "steps = 1\n" in toml and "seed = 2\n" in toml and "every = 3\n" in toml
    assert "lr = 0.5\n" in toml and 'name = "adam"' in toml
    _, toml, _ = cli("run", "--config", "e.toml", "--solver", "acgd", "--dry-run")
    assert "lr = 0.5" not in toml and 'name = "acgd"' in toml


def test_a_loss_is_the_games_option(cli: Run) -> None:
    code, toml, err = cli("run", "mixture", "--solver", "simgd", "--loss", "wgan", "--dry-run")
    assert code == 0, err
    assert '[game.loss]\nname = "wgan"' in toml
    code, _, err = cli(*QUADRATIC, "--loss", "wgan", "--dry-run")
    assert code == 2 and "game quadratic has losses of its own" in err
