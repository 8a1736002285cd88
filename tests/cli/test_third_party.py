"""A third party's package, installed by pip like any other, and its four kinds used on the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("thirdparty")


@pytest.fixture(scope="module")
def command(home: Path) -> Command:
    """The command line, run in ``home``, of an environment in which the package is installed."""
    source = shutil.copytree(Path(__file__).parent.parent / "thirdparty", home / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(home / "site"), str(source)], check=True, capture_output=True, text=True)
    path = os.pathsep.join(filter(None, [str(home / "site"), os.environ.get("PYTHONPATH", "")]))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COUNTERPLAY_")}
    environment = clean | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "counterplay.core.cli.main", *args]
        return subprocess.run(line, cwd=home, env=environment | more, capture_output=True, text=True)

    return run


def test_it_is_listed_with_its_distribution(command: Command) -> None:
    done = command("list")
    dropped = "the command name 'run' is taken (built in); this one was dropped"
    assert done.returncode == 0 and done.stderr == f"problem: counterplay-example 1.2: {dropped}\n"
    for name in ("example-hamiltonian", "example-tempered", "example-anchor", "example-saddle"):
        (line,) = (x for x in done.stdout.splitlines() if f"  {name} " in x)
        assert line.endswith("(counterplay-example 1.2)")


def test_all_four_kinds_run(command: Command) -> None:
    done = command(
        "run", "example-saddle", "-g", "strength=2", "--solver", "example-hamiltonian", "-s", "lr=0.1",
        "--regularizer", "example-anchor", "-r", "example-anchor.weight=0.05", "--steps", "150",
        "--until", "gradient_norm<1e-6", "--quiet", "--out", "saddle",
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("converged"), done.stderr
    summary = json.loads(command("summary", "saddle", "--json").stdout)
    assert summary["game"] == "example-saddle" and summary["solver"] == "example-hamiltonian"
    done = command("spectrum", "saddle", "--json")
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)["step"] == summary["steps"]
    done = command(
        "run", "mixture", "--loss", "example-tempered", "-l", "temperature=3", "--solver", "simgd", "--steps", "2",
        "--quiet", "--out", "mixture",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    both = json.loads(command("summary", "saddle", "mixture", "--json").stdout)
    assert [(run["game"], run["steps"]) for run in both][1] == ("mixture", 2)


def test_where_it_came_from_is_recorded(command: Command, home: Path) -> None:
    done = command("run", "quadratic", "--solver", "example-hamiltonian", "--steps", "1", "--quiet", "--out", "origin")
    assert done.returncode == 0, done.stderr
    origins = json.loads((home / "origin" / "run.json").read_text())["experiment"]["origins"]
    (solver,) = (o for o in origins if o["kind"] == "solver")
    assert solver["source"] == "counterplay-example 1.2" and len(solver["sha256"]) == 64


def test_its_command_runs_and_replaces_none(command: Command) -> None:
    assert command("example-greet").stdout == "hello from a plugin\n"
    assert "a plugin cannot replace" not in command("run", "--help").stdout
    assert "did you mean 'example-greet'" in command("example-gret").stderr


def test_built_in_runs_do_not_import_it(command: Command) -> None:
    done = command("run", "quadratic", "--solver", "simgd", "--dry-run", PYTHONVERBOSE="1")
    assert done.returncode == 0 and "import 'counterplay_example'" not in done.stderr


def test_help_lists_its_command(command: Command) -> None:
    done = command("--help")
    assert "\nCommands of plugins:\n  example-greet" in done.stdout and done.returncode == 0
    assert "example-greet" not in command("--help", COUNTERPLAY_NO_PLUGINS="1").stdout


def test_it_can_be_switched_off(command: Command) -> None:
    done = command("describe", "game", "example-saddle", COUNTERPLAY_NO_PLUGINS="1")
    assert done.returncode == 2 and "unknown game 'example-saddle'" in done.stderr
    assert command("describe", "game", "example-saddle").returncode == 0
