"""What the command line says to mistakes, failures and signals, and the code it ends with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import counterplay as cp

from ..conftest import Run

QUADRATIC = ("run", "quadratic", "--solver", "simgd")
GOOD = ("-s", "lr.x=0.09", "-s", "lr.y=0.01")


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
