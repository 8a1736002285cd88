"""What is typed on the command line means what it says, in whatever order, and is said again as it was typed."""

from __future__ import annotations

import itertools
import json
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import counterplay as cp

from ..conftest import Run

QUADRATIC = ("run", "quadratic", "--solver", "simgd")


def resolved(cli: Run, *args: str) -> dict[str, Any]:
    code, out, err = cli(*args, "--dry-run")
    assert code == 0, err
    return tomllib.loads(out)


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["rule.betas=[0.5,0.9]", "rule=adam"], {"rule": {"name": "adam", "betas": [0.5, 0.9], "eps": 1e-8}}),
        (["lr.x=.2", "lr=.1"], {"lr": {"x": 0.2, "y": 0.1}}),
        (["lr={y=1e-1}", "lr=.2"], {"lr": {"x": 0.2, "y": 0.1}}),
    ],
)
def test_options_of_a_solver_in_any_order(cli: Run, options: list[str], meant: dict[str, Any]) -> None:
    for order in itertools.permutations(options):
        solver = resolved(cli, *QUADRATIC, *(word for option in order for word in ("-s", option)))["solver"]
        assert {k: solver[k] for k in meant} == meant


def test_options_of_losses_and_regularizers_in_any_order(cli: Run) -> None:
    gan = ("run", "mixture", "--solver", "simgd", "-g", "hidden=3", "-g", "batch=2")
    for loss in (["-g", "loss.name=wgan"], ["--loss", "wgan"], ["-g", "loss=wgan"]):
        assert resolved(cli, *gan, *loss)["game"]["loss"] == {"name": "wgan"}
    regularizers = ["-r", "r1.gamma=2", "--regularizer", "r1"]
    assert resolved(cli, *gan, *regularizers)["regularizers"] == [{"name": "r1", "gamma": 2.0}]


def test_a_file_is_refined(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    file = 'game = "quadratic"\n[solver]\nname = "simgd"\nlr = 0.1\nrule.betas = [0.5, 0.9]\n'
    Path("e.toml").write_text(file)
    monkeypatch.setenv("COUNTERPLAY_STEPS", "1e1")
    asked = resolved(cli, "run", "--config", "e.toml", "-s", "lr.x=.2", "-s", "rule=adam")
    assert asked["solver"]["lr"] == {"x": 0.2, "y": 0.1} and asked["solver"]["rule"]["betas"] == [0.5, 0.9]
    assert asked["steps"] == 10


def test_null(cli: Run) -> None:
    given = ("run", "quadratic", "--solver", "cgd", "-s")
    assert resolved(cli, *given, "tol=null") == resolved(cli, *given, "lr=0.01")
    Path("e.toml").write_text('game = "quadratic"\n[solver]\nname = "cgd"\ntol = 1e-3\n')
    assert "tol" not in resolved(cli, "run", "--config", "e.toml", "-s", "tol=null")["solver"]
    code, _, err = cli(*QUADRATIC, "-s", "lr=null")
    assert code == 2 and "a table {player: number}, got null." in err
    code, _, err = cli(*given, 'tol="null"')
    assert code == 2 and "or null, got 'null'." in err


@dataclass(frozen=True)
class Bounded(cp.Composed):
    """v, and a bound that is there unless it is null."""

    bound: float | None = cp.option(1.0, "of the step")

    def direction(self, local: cp.LocalGame) -> Any:
        return local.gradient()


def test_null_where_it_is_not_the_default_is_recorded(cli: Run) -> None:
    Path("bounded.py").write_text(
        "from counterplay import Entry, hookimpl\n"
        f"from {__name__} import Bounded\n"
        "@hookimpl\ndef register_solvers(): return [Entry('bounded', Bounded, 'bounded', 'Me')]\n"
    )
    given = ("run", "quadratic", "--solver", "bounded", "--plugin", "bounded.py", "--steps", "2")
    _, toml, _ = cli(*given, "-s", "bound=null", "--dry-run")
    Path("e.toml").write_text(toml)
    assert cli("run", "--config", "e.toml", "--dry-run")[1] == toml
    assert cli("run", "--config", "e.toml", "--out", "d", "--quiet")[0] == 0
    assert json.loads(Path("d/run.json").read_text())["experiment"]["solver"]["bound"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-g", "b=1e400"], "-g b=1e400: 1e400 is too large: a number is at most"),
        (["-s", "lr.x=1e-400"], "-s lr.x=1e-400: 1e-400 is too small to be told from 0"),
        (["-s", "lr=true"], "got true."),
        (["-s", "rule=1e3"], "got 1e3"),
        (["-s", "rule=true"], "got true"),
        (["-s", "rule=adam", "-s", "rule.betas=[1e3,0.5]"], "got [1e3, 0.5]."),
        (["--regularizer", "l2", "-r", "player=1e3"], "Put it in quotes if it is meant as text: '\"1e3\"'."),
        (["--regularizer", "l2", "-r", "player=true"], "got true."),
        (["--steps", "1.5e0"], "Invalid value for '--steps': '1.5e0' is not a valid integer."),
        (["--steps", "1e400"], "Invalid value for '--steps': 1e400 is too large"),
        (["--steps", "1e30"], "steps: expected at most 2^63 - 1, got 1e30."),
        (["--blowup", "1e400"], "Invalid value for '--blowup': 1e400 is too large"),
        (["--blowup", "big"], "'big' is not a valid number."),
        (["--until", "gradient_norm<1e400"], "cannot read the condition"),
        (["-g", "b=1", "-g", "b.x=2"], "option 'b' of the game was given whole and in parts (b.x)"),
        (["--regularizer", "l2", "-r", "weight=1e3", "-r", "weight=[1e3,true]"], "got [1e3, true]."),
        (["-g", "b=" + "9" * 400], "It is too large for a number."),
        (["--solver", "adam"], "adam is a step rule, which a solver takes as an option, as --solver simgd -s ru"),
        (["--solver", "SGD"], "unknown solver 'SGD': sgd is a step rule"),
        (["-s", "simgd.lr=1"], "-s simgd.lr=...: -s sets options of the solver: write -s lr=VALUE."),
        (["-s", "solver.lr=1"], "-s solver.lr=...: -s sets options of the solver: write -s lr=VALUE."),
        (["-g", "quadratic.b=1"], "-g quadratic.b=...: -g sets options of the game: write -g b=VALUE."),
        (["-l", "loss.smoothing=0.1"], "-l loss.smoothing=...: -l sets options of the loss: write -l smoothing=VALUE."),
        (["-l", "smoothing=0.1"], "Name the loss as well: --loss NAME."),
        (["--regularizer", "l2", "-r", "r1.gamma=1"], "Expected -r NAME.key=value with NAME one of l2."),
        (["--regularizer", "l2", "-r", "regularizer.weight=1"], "Expected -r NAME.key=value with NAME one of l2."),
        (["--regularizer", "ema", "--regularizer", "ema", "-r", "ema.player=x"], "ema keeps 'ema/x/value' from step"),
        (["--regularizer", "ema", "-r", "ema.player=[x,z]"], "regularizer ema: no player 'z'"),
    ],
)
def test_mistakes_are_said_as_they_were_typed(cli: Run, args: list[str], said: str) -> None:
    code, out, err = cli(*QUADRATIC, *args)
    assert (code, out) == (2, "") and said in err and not Path("runs").exists()


def test_counts_in_scientific_notation(cli: Run) -> None:
    counts = ("--steps", "1e1", "--seed", "2e0", "--every", "5e0", "--spectrum-every", "1e1", "--members", "2E0")
    code, out, err = cli(*QUADRATIC, *counts, "--blowup", "inf", "--out", "d", "--quiet")
    assert code == 0 and out.startswith("max_steps after 10 steps"), err
    asked = json.loads(Path("d/run.json").read_text())["experiment"]
    assert [asked[k] for k in ("steps", "seed", "every", "spectrum_every", "members")] == [10, 2, 5, 10, 2]
    assert cli("spectrum", "d", "--step", "1e1", "--member", "1e0", "-k", "1e0")[0] == 0
    assert "0 is not 1 or more" in cli("spectrum", "d", "-k", "0")[2]


def test_the_home_directory_and_spaces(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "at home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    code, out, err = cli(*QUADRATIC, "--steps", "3", "--quiet", "--out=~/my run")
    assert code == 0 and (home / "my run" / "log.h5").is_file() and not Path("~").exists(), err
    assert shlex.split(out.partition("next: ")[2]) == ["counterplay", "summary", f"{home}/my run"]
    for words in (
        ["summary", "~/my run"],
        ["resume", "~/my run"],
        ["spectrum", "~/my run"],
        ["plot", "losses", "~/my run", "-o", "~/a b.png"],
        ["report", "~/my run", "-o", "~/r.html"],
        ["log", "verify", "~/my run"],
        ["log", "export", "~/my run", "--to", "~/e.csv"],
        ["spectrum", "quadratic", "--start", "~/my run"],
        [*QUADRATIC, "--start", "~/my run", "--steps", "1", "--out", "~/b"],
    ):
        code, _, err = cli(*words)
        assert code == 0, (words, err)
    assert {p.name for p in home.iterdir() if p.name[0] != "."} == {"my run", "a b.png", "r.html", "e.csv", "b"}
