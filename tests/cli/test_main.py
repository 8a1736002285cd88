"""The command line: what it does, what it says, and the code it ends with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

import counterplay as cp
from counterplay.core.registry.kinds import KINDS
from counterplay.core.terminal import style

from ..conftest import Run

QUADRATIC = ("run", "quadratic", "--solver", "simgd")
GOOD = ("-s", "lr.x=0.09", "-s", "lr.y=0.01")
BAD = ("-s", "lr.x=0.01", "-s", "lr.y=0.09")


# --- a run -------------------------------------------------------------------------------------------------------


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


# --- dry runs ----------------------------------------------------------------------------------------------------


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


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("run", "quadratc", "--solver", "simgd"), "unknown game 'quadratc'; did you mean 'quadratic'?"),
        (("run", "quadratic", "--solver", "simg"), "unknown solver 'simg'; did you mean 'simgd'?"),
        (("run", "quadratic"), "no solver was named"),
        (("run",), "no game was named"),
        ((*QUADRATIC, "-g", "bb=1"), "game quadratic has no option 'bb'"),
        ((*QUADRATIC, "-g", "b=ten"), "option 'b' of game quadratic: expected a number, got 'ten'."),
        (("run", "bilinear", "--solver", "cgd", "-g", "dimension=0"), "expected a whole number, 1 or more, got 0."),
        (("run", "bilinear", "--solver", "cgd", "-g", "dimension=1e30"), "got 1e30. It is at most 2^63 - 1."),
        (
            ("run", "digits", "--solver", "cgd", "-g", "network=conv", "-g", "hidden=1"),
            "expected a whole number, 2 or more, got 1",
        ),
        ((*QUADRATIC, "-s", "lr"), "-s 'lr': expected key=value"),
        ((*QUADRATIC, "-s", "rule=adm"), "unknown step rule 'adm'; did you mean 'adam'?"),
        ((*QUADRATIC, "--steps", "many"), "'many' is not a valid integer"),
        ((*QUADRATIC, "--steps", "-1"), "steps: expected a whole number, 0 or more, got -1."),
        ((*QUADRATIC, "--device", "gpu"), "--device gpu: expected cpu, cuda or cuda:N."),
        ((*QUADRATIC, "--device", "cuda:99"), "Use --device cpu"),
        ((*QUADRATIC, "--dtype", "float16"), "expected float32 or float64"),
        ((*QUADRATIC, "--regularizer", "l3"), "unknown regularizer 'l3'; did you mean 'l2'?"),
        ((*QUADRATIC, "-r", "weight=1"), "add --regularizer NAME"),
        ((*QUADRATIC, "--start", "none.safetensors"), "none.safetensors"),
        ((*QUADRATIC, "--config", "none.toml"), "--config none.toml: cannot be read"),
        ((*QUADRATIC, "--plugin", "none.py"), "there is no such file"),
        ((*QUADRATIC, "--step", "3"), "--step"),
        ((*QUADRATIC, "--members", "1e18"), "1,000,000,000,000,000,000 are too many"),
        ((*QUADRATIC, "--members", "1e9", "--dry-run"), "1,000,000,000 are too many"),
        (("rn",), "unknown command 'rn'; did you mean 'run'?"),
        (("list", "games", "extra"), "unexpected extra argument"),
        (("list", "gmes"), "unknown kind 'gmes'; did you mean 'game"),
        (("describe", "solver", "simg"), "unknown solver 'simg'"),
        (("describe", "solver"), "Missing argument 'NAME'"),
        (("check", "solver", "simg"), "unknown solver 'simg'"),
        (("summary", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_said_in_one_or_two_lines(cli: Run, args: tuple[str, ...], message: str) -> None:
    code, out, err = cli(*args)
    assert code == 2 and out == ""
    assert err.startswith("Error: ") and message in err and len(err.splitlines()) <= 2
    assert not Path("runs").exists()


def test_a_command_that_is_a_group_alone_shows_its_help(cli: Run) -> None:
    for args in ((), ("log",)):
        code, out, err = cli(*args)
        assert code == 2 and out == "" and err.startswith("Usage: counterplay") and "See counterplay" not in err


def test_a_folder_that_is_not_there_is_not_a_full_disk(cli: Run) -> None:
    cli(*QUADRATIC, "--steps", "1", "--out", "q", "--quiet")
    code, _, err = cli("plot", "losses", "q", "-o", "nowhere/x.png")
    assert code == 74 and "Could not write nowhere/x.png: there is no directory nowhere. Choose another place." in err


def test_a_setting_for_nobody_is_found_when_the_players_are_known(cli: Run) -> None:
    code, _, err = cli(*QUADRATIC, "-s", "lr.z=1", "--quiet")
    assert code == 2 and "x, y" in err and len(err.splitlines()) <= 2


def test_a_plugin_file_that_fails_is_3(cli: Run) -> None:
    Path("bad.py").write_text("1 / 0")
    code, _, err = cli(*QUADRATIC, "--plugin", "bad.py")
    assert code == 3 and "cannot be imported: ZeroDivisionError" in err


FILE = """
from dataclasses import dataclass
import counterplay as cp

@dataclass(frozen=True)
class Mine(cp.Composed):
    "v"
    fail: bool = cp.option(False, "whether to break")

    def direction(self, local):
        if self.fail: raise KeyError("oh")
        return local.gradient()

@cp.hookimpl
def register_solvers():
    return [cp.Entry("mine", Mine, "mine", "Me"), cp.Entry("simgd", Mine, "not mine", "Me")]
"""


def test_a_plugin_that_fails_in_the_middle_is_blamed(cli: Run) -> None:
    Path("mine.py").write_text(FILE)
    mine = ("run", "quadratic", "--plugin", "mine.py", "--solver", "mine", "--steps", "2", "--quiet")
    code, out, err = cli(*mine)
    assert code == 0 and out.startswith("max_steps")
    assert err == "Warning: file mine.py: the solver name 'simgd' is taken (built in); this one was dropped\n"
    code, _, err = cli(*mine, "-s", "fail=true")
    assert code == 3 and "Error: the plugin file mine.py failed: a step raised KeyError: 'oh' (mine.py, line 11)" in err


def test_a_bug_is_1_and_asks_for_a_report(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterplay.core.cli.run.build", lambda e: 1 / 0)
    code, _, err = cli(*QUADRATIC)
    assert code == 1 and "internal error, a bug in counterplay: ZeroDivisionError" in err
    assert "COUNTERPLAY_DEBUG=1" in err


def test_debug_shows_the_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "counterplay.core.cli.main", "list", "gmes"],
        env=os.environ | {"COUNTERPLAY_DEBUG": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" in done.stderr and "did you mean 'game'" in done.stderr


@pytest.mark.parametrize("words", ["list", "describe solver cgd", "run quadratic --solver simgd", "spectrum quadratic",
                                   "check solver simgd", "resume d"])  # fmt: skip
def test_without_torch_it_is_said_how_to_get_it(tmp_path: Path, words: str) -> None:
    hidden = (
        f"import sys; sys.modules['torch'] = None; from counterplay.core.cli.main import main; main({words.split()})"
    )
    done = subprocess.run([sys.executable, "-c", hidden], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    assert re.match(
        r"Error: this needs torch, which is not installed for .*: python -m pip install 'torch.*'\.", done.stderr
    )


def test_without_torch_python_is_told_how_to_get_it() -> None:
    hidden = """
import sys
sys.modules["torch"] = None
import counterplay as cp
for needs in (lambda: cp.run, lambda: cp.make("game", "quadratic")):
    try:
        needs()
    except cp.UsageError as error:
        assert isinstance(error, ImportError) and "this needs torch, which is not installed for" in str(error)
    else:
        raise AssertionError
"""
    subprocess.run([sys.executable, "-c", hidden], check=True)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you ...")])
def test_too_little_memory_is_no_bug(cli: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("counterplay.core.cli.run.build", fail)
    code, _, err = cli(*QUADRATIC)
    assert (
        code == 71 and err == "Error: there is not enough memory for this. Ask for less, or for a machine with more.\n"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 75),
        (cp.Interrupted("stopped"), 75),
        (cp.OutOfMemory("too large"), 71),
        (cp.Busy("in use"), 73),
        (cp.StorageError("full"), 74),
        (cp.BadLog("bad"), 65),
        (cp.PluginError("bad"), 3),
        (SystemExit(5), 5),
    ],
)
def test_every_ending_has_its_code(cli: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("counterplay.core.cli.run.build", fail)
    assert cli(*QUADRATIC)[0] == code


@pytest.mark.parametrize("args", [("--help",), ("list",)])
def test_a_closed_pipe_is_quiet(args: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "counterplay.core.cli.main", *args]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == "" and done.returncode == 0


def test_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "counterplay.core.cli.main", *QUADRATIC, *GOOD, "--steps", "20", "--out", "d"]
    done = subprocess.run(command, stderr=writer, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(writer)
    assert done.returncode == 0 and done.stdout.startswith("max_steps after 20 steps")


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_keeps_what_it_recorded(tmp_path: Path, sent: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "counterplay.core.cli.main",
        *QUADRATIC,
        *GOOD,
        "--steps",
        str(10**9),
        "--out",
        "d",
    ]
    running = subprocess.Popen(
        [*command, "--quiet"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "d" / "checkpoints").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # some steps
        running.send_signal(sent)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 75 and "Error: interrupted" in err and "Traceback" not in err
    assert json.loads((tmp_path / "d" / "status.json").read_text())["state"] == "interrupted"


# --- looking around ----------------------------------------------------------------------------------------------


def test_list(cli: Run) -> None:
    code, out, err = cli("list")
    assert code == 0 and err == ""
    assert re.search(r"^solvers\n  \S", out, re.M) and "  quadratic " in out
    code, out, _ = cli("list", "solvers", "--json")
    facts = json.loads(out)
    assert {"simgd", "acgd"} <= {f["name"] for f in facts}
    assert all(f.keys() == {"name", "summary", "reference"} for f in facts)
    assert {f["kind"] for f in json.loads(cli("list", "--json")[1])} == set(KINDS)


def test_describe_shows_formula_options_and_reference(cli: Run) -> None:
    code, out, _ = cli("describe", "solver", "conopt")
    assert code == 0
    assert "reference: Mescheder" in out and "source: built in" in out and "J^T v" in out
    assert "gamma: a number, a list of numbers (one per member) or a table {player: number}; default" in out


def test_describe_finds_the_kind(cli: Run) -> None:
    assert cli("describe", "conopt") == cli("describe", "solver", "conopt")
    code, out, _ = cli("describe", "digits")
    assert code == 0 and out.startswith("game digits: ") and "\n\ndataset digits: " in out
    for words, said in (
        (["cdg"], "there is nothing called 'cdg'; did you mean 'cgd'?"),
        (["losses"], "the losses are saturating, "),
        (["solver", "cgd", "lr"], "describe takes [KIND] NAME, and got 3 words"),
    ):
        code, _, err = cli("describe", *words)
        assert code == 2 and said in err


@pytest.mark.parametrize("word", ["learning_rate", "step_size", "eta"])
def test_what_others_call_lr_is_matched(cli: Run, word: str) -> None:
    code, _, err = cli("run", "quadratic", "--solver", "simgd", "-s", f"{word}=0.1")
    assert code == 2 and f"no option '{word}'; did you mean 'lr'?" in err


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, cli: Run) -> None:
    assert "\x1b" not in "".join(map(str, cli("describe", "cgd") + cli("describe", "nothing-like-it")))
    monkeypatch.setattr(click.utils, "should_strip_ansi", lambda stream, color: color is False)
    assert "\x1b[1m" in cli("describe", "cgd")[1] and "\x1b[31m" in cli("describe", "nothing-like-it")[2]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(map(str, cli("describe", "cgd") + cli("describe", "nothing-like-it")))


def test_a_list_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a-name", "some words that are longer than the terminal is wide " * 2)]
    assert len(next(iter(style.definitions(rows, 8)))) > 110
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = next(iter(style.definitions(rows, 8))).split("\n")
    assert max(map(len, lines)) < 60 and all(line.startswith(" " * 12) for line in lines[1:]) and len(lines) > 2


def test_every_entry_can_be_described(cli: Run) -> None:
    facts = json.loads(cli("list", "--json")[1])
    assert len(facts) > 40
    for fact in facts:
        assert cli("describe", fact["kind"], fact["name"])[0] == 0


def test_version(cli: Run) -> None:
    assert cli("--version")[1] == f"counterplay, version {cp.__version__}\n"
