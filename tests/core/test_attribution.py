"""Plugins that fail in the middle of a run: who did it is said, what was played is kept, and it goes on when mended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.cli.main import main
from counterplay.core.registry import registry
from counterplay.core.registry.registry import Registry

Run = Callable[..., tuple[int, str]]
STEPS, BAD = 12, 7

SOLVER = """
from dataclasses import dataclass
import sys, torch
import counterplay as cp

@dataclass(frozen=True)
class Mine(cp.Composed):
    "v, and a count of its steps."

    def init(self, game, params):
        return {{**super().init(game, params), "count": torch.zeros((), dtype=torch.int64)}}

    def step(self, game, params, memory, draw):
        params, after, info = super().step(game, params, memory, draw)
        after["count"] = memory["count"] + 1
        if memory["count"] == 7:
            {failure}
        return params, after, info

@cp.hookimpl
def register_solvers():
    return [cp.Entry("mine", Mine, "mine", "Me")]
"""

SOLVERS = {
    "raise KeyError('oh')": "KeyError: 'oh'",
    "raise OSError(28, 'No space left on device')": "OSError",
    "sys.exit(0)": "a step raised SystemExit: 0 (mine.py, line ",
    "raise BrokenPipeError": "a step raised BrokenPipeError (mine.py, line ",
    "import click; raise click.exceptions.Exit(0)": "a step raised Exit: 0",
    "import click; raise click.Abort": "a step raised Abort",
    "raise cp.UsageError('mine says')": "a step raised UsageError: mine says",
    "raise cp.BadLog('mine says')": "a step raised BadLog: mine says",
    "raise cp.StorageError('mine says')": "a step raised StorageError: mine says",
    "return None": "its step returned a NoneType, not (parameters, memory, StepInfo)",
    "return params, after": "its step returned a tuple, not (parameters, memory, StepInfo)",
    "params['x'] = {'value': torch.ones(2, dtype=torch.float64)}": "x/value is a tensor of shape (2,) and type float64"
    "; expected: a tensor of shape (1,)",
    "params = {'x': params['x']}": "y is missing; expected: a dictionary of value",
    "params['y']['value'] = 3.0": "y/value is a float; expected: a tensor",
    "params['y']['more'] = params['y']['value']": "y/more is a tensor of shape (1,) and type float64",
    "after['count'] = after['count'].expand(3)": "memory of another structure: count is a tensor of shape (3,)",
    "del after['count']": "memory of another structure: count is missing",
    "info.losses['x'] = torch.ones(2)": "losses that are not one number for each of x, y",
    "del info.losses['x']": "losses that are not one number for each of x, y",
    "del info.gradient['y']": "gradient of another structure: y is missing",
}

GAME = """
from dataclasses import dataclass
import torch
import counterplay as cp

@dataclass(frozen=True)
class Mine(cp.Game):
    "x y, and a count of the steps"
    players = ("x", "y")

    def init(self, rng):
        return {{i: {{"value": torch.ones(1, dtype=torch.float64)}} for i in self.players}}

    def buffers(self, rng):
        return {{"count": torch.zeros(())}}

    def refresh(self, params, buffers):
        return {{"count": buffers["count"] + 1}}

    def sample(self, rng, buffers):
        return {{**buffers, "noise": torch.randn(1, generator=rng, dtype=torch.float64)}}

    def losses(self, params, batch):
        product = (params["x"]["value"] * params["y"]["value"] + 0 * batch["noise"]).sum()
        losses = {{"x": product, "y": -product}}
        bad = batch["count"] == 8
        {losses}
        return losses

    def metrics(self, params, batch):
        found = {{"size": params["x"]["value"].sum()}}
        bad = batch["count"] >= 7
        {metrics}
        return found

@cp.hookimpl
def register_games():
    return [cp.Entry("mine", Mine, "mine", "Me")]
"""

GAMES = {
    "if bad: raise ValueError('oh')": "ValueError: oh",
    "if bad: raise SystemExit(3)": "a step raised SystemExit: 3",
    "if bad: losses['x'] = losses['x'].reshape(1)": "the loss of x is of shape (1,), not a scalar",
    "if bad: del losses['y']": "the loss of y is missing, not a scalar",
    "if bad: params['x']['value'].add_(torch.ones(2))": "RuntimeError",
}
METRICS = {
    "if bad: found['size'] = torch.ones(3)": "the log got shape (3,)",
    "if bad: 1 / 0": "ZeroDivisionError",
    "if bad: raise BrokenPipeError": "what a run records raised BrokenPipeError",
    "if bad: raise SystemExit(0)": "what a run records raised SystemExit: 0",
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command as if in a process of its own: its exit code, and what it said."""
    monkeypatch.chdir(tmp_path)
    for variable in [v for v in os.environ if v.startswith("COUNTERPLAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")

    def run(*args: str) -> tuple[int, str]:
        monkeypatch.setattr(registry, "REGISTRY", Registry())
        for name in [m for m in sys.modules if m.startswith("counterplay_plugin_")]:
            monkeypatch.delitem(sys.modules, name)
        terminate = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            main([*args, "--plugin", "mine.py", "--quiet"])
        signal.signal(signal.SIGTERM, terminate)
        said = capsys.readouterr()
        assert "Traceback" not in said.err and "bug" not in said.err
        return int(ended.value.code or 0), said.err

    return run


def without_plugins(call: Callable[[], object]) -> None:
    """``call`` where no plugin has been loaded."""
    known, registry.REGISTRY = registry.REGISTRY, Registry()
    try:
        call()
    finally:
        registry.REGISTRY = known


def check(cli: Run, run: tuple[str, ...], broken: str, mended: str, words: str, at: int = BAD) -> None:
    """Run with a plugin that fails at step 7; then mend it and resume, to what a run with the mended one is."""
    Path("mine.py").write_text(broken)
    code, err = cli(*run, "--steps", str(STEPS), "--out", "again")
    assert code == 3 and err.startswith("Error: the plugin file mine.py failed: ") and words in err, err
    status = json.loads(Path("again/status.json").read_text())
    assert (status["state"], status["step"]) == ("failed", at)
    assert cp.load_params("again").keys() == {"x", "y"} and Path(f"again/checkpoints/step-{at}").is_dir()
    assert cp.open_log("again")["step/step"].tolist()[:at] == list(range(at))

    with pytest.raises(cp.UsageError, match=r"It was played with --plugin mine\.py: give that again"):
        without_plugins(lambda: cp.resume("again"))
    Path("mine.py").write_text(mended)
    code, err = cli("resume", "again")
    assert code == 2 and "mine comes from other code than before" in err and "--allow-inexact" in err
    assert cli("resume", "again", "--allow-inexact") == (0, "")
    assert cli(*run, "--steps", str(STEPS), "--out", "whole") == (0, "")
    one, two = cp.open_log("whole"), cp.open_log("again")
    assert [*one] == [*two] and one["step/step"].tolist() == list(range(STEPS + 1))
    for key in one:
        if not key.endswith("_seconds"):
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)


def some(cases: dict[str, str], every: int) -> list[object]:
    """All of them; those that are not every n-th are slow tests."""
    return [pytest.param(c, marks=[pytest.mark.slow] if n % every else [], id=str(n)) for n, c in enumerate(cases)]


@pytest.mark.parametrize("failure", some(SOLVERS, 4))
def test_a_solver_that_fails_in_the_middle(cli: Run, failure: str) -> None:
    run = ("run", "quadratic", "--solver", "mine")
    check(cli, run, SOLVER.format(failure=failure), SOLVER.format(failure="pass"), SOLVERS[failure])


@pytest.mark.parametrize("losses", some(GAMES, 3))
def test_a_game_that_fails_in_the_middle(cli: Run, losses: str) -> None:
    run = ("run", "mine", "--solver", "simgd")
    mended = GAME.format(losses="", metrics="")
    check(cli, run, GAME.format(losses=losses, metrics=""), mended, GAMES[losses])


@pytest.mark.parametrize("metrics", some(METRICS, 2))
def test_a_game_whose_figures_fail_in_the_middle(cli: Run, metrics: str) -> None:
    """What only looks on has no state of its own to save: the newest checkpoint there is stays."""
    run = ("run", "mine", "--solver", "simgd", "--checkpoint-every", "3")
    mended = GAME.format(losses="", metrics="")
    check(cli, run, GAME.format(losses="", metrics=metrics), mended, METRICS[metrics], at=6)


def test_a_projection_that_changes_the_shape(cli: Run) -> None:
    projection = """
    def project(self, params):
        return {i: {"value": t["value"].expand(2)} for i, t in params.items()}
"""
    source = GAME.format(losses="", metrics="").replace("    def losses", projection + "\n    def losses")
    Path("mine.py").write_text(source)
    code, err = cli("run", "mine", "--solver", "simgd", "--steps", "2", "--out", "d")
    assert code == 3 and "the projection after the step" in err and "x/value is a tensor of shape (2,)" in err
