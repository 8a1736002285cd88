"""Compiled steps: what they compute is what the solver computes; nobody can tell that many are taken at once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.cli.main import main
from counterplay.core.compiled import c_compiler
from counterplay.core.compiled.c_compiler import Uncompilable, compile_c
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.errors import UsageError
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import tmap
from counterplay.core.run import engine
from counterplay.core.solver.solver import StepInfo

pytestmark = pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")
GOOD = {"x": 0.09, "y": 0.01}
MOMENTUM = {"name": "momentum", "beta": -0.3, "nesterov": True}
FIRST_ORDER = [
    ("simgd", {"rule": "rmsprop"}),
    ("altgd", {"repeats": {"x": 1, "y": 3}}),
    ("extragradient", {"rule": MOMENTUM}),
    ("past-extragradient", {}),
    ("ogda", {"rule": MOMENTUM}),
    ("lookahead-minmax", {"k": 3}),
    *(
        pytest.param(name, options, marks=pytest.mark.slow)
        for name, options in [
            ("simgd", {}),
            ("simgd", {"rule": MOMENTUM}),
            ("adversarial-extrapolation", {"gamma": 0.1}),
            ("conopt", {"gamma": 0.05}),
            ("jare", {"gamma": 0.1}),
            ("sos", {}),
            ("unrolled", {}),
        ]
    ),
]


def log_of(directory: Path) -> dict[str, np.ndarray]:
    """The steps in a log, but for the clock."""
    with h5py.File(directory / "log.h5") as file:
        return {k: x[()] for k, x in file["step"].items() if not k.endswith("_seconds") and x.dtype.kind in "fi"}


def played(tmp_path: Path, game: cp.Game, solver: cp.Solver, **asked: Any) -> tuple[Any, Any, dict, dict]:
    """The same run step by step and compiled: their results and their logs."""
    eager = cp.run(game, solver, out=tmp_path / "eager", compile=False, trace=False, **asked)
    fast = cp.run(game, solver, out=tmp_path / "fast", compile=True, trace=False, **asked)
    assert not fast.eager
    return eager, fast, log_of(tmp_path / "eager"), log_of(tmp_path / "fast")


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name, x in one.items():
        assert x.dtype == other[name].dtype and x.shape == other[name].shape, name
        if tolerance == 0:
            assert x.tobytes() == other[name].tobytes(), name
        np.testing.assert_allclose(x, other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_end(a: Any, b: Any, equal: Callable[[Tensor, Tensor], bool] = torch.equal) -> None:
    assert (a.status, a.steps, a.message, a.diverged) == (b.status, b.steps, b.message, b.diverged)
    assert all(equal(x, b.params[i][k]) for i, tree in a.params.items() for k, x in tree.items())


@pytest.mark.parametrize(("name", "options"), FIRST_ORDER, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_every_first_order_solver_bit_for_bit(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    solver = cp.make("solver", name, lr=GOOD, **options)
    a, b, one, other = played(tmp_path, cp.make("game", "quadratic"), solver, steps=100, seed=3)
    assert_same_end(a, b)
    assert_same(one, other)
    assert len(one["step"]) == 101 == len(set(one["losses"][:, 0]))


@pytest.mark.parametrize(
    ("game", "solver", "options"),
    [
        ("bilinear", "ogda", {"lr": 0.2}),
        ("bilinear", "simgd", {"rule": "adam", "lr": 0.05}),  # eager adam is torch's fused kernel
        ("dirac-gan", "altgd", {"lr": 0.3}),
        ("projection", "simgd", {"lr": 0.02}),
        pytest.param("exponential", "extragradient", {"lr": 1e-18}, marks=pytest.mark.slow),
        pytest.param("four-player", "simgd", {"rule": {"name": "adamw", "weight_decay": 0.1}}, marks=pytest.mark.slow),
        pytest.param("random-polynomial", "ogda", {"lr": 1e-3}, marks=pytest.mark.slow),
    ],
)
def test_games_with_more_than_arithmetic_to_rounding(
    tmp_path: Path, game: str, solver: str, options: dict[str, Any]
) -> None:
    more = {"dimension": 5} if game == "bilinear" else {}
    a, b, one, other = played(tmp_path, cp.make("game", game, **more), cp.make("solver", solver, **options), steps=80)
    assert_same_end(a, b, lambda x, y: torch.allclose(x, y, rtol=1e-11, atol=1e-11))
    assert_same(one, other, 1e-11)


def test_single_precision_and_regularizers(tmp_path: Path) -> None:
    game, l2 = cp.make("game", "quadratic"), cp.make("regularizer", "l2", player="x")
    solver = cp.make("solver", "ogda", lr=GOOD)
    a, b, one, other = played(tmp_path, game, solver, steps=100, dtype="float32", regularizers=[l2])
    assert_same_end(a, b)
    assert_same(one, other, 1e-6)  # norms are taken in double precision
    assert one["parameters"].tobytes() == other["parameters"].tobytes()


def test_a_diverging_run_ends_where_it_would(tmp_path: Path) -> None:
    game = cp.make("game", "quadratic")
    for n, (lr, blowup) in enumerate([(0.1, None), (1.0, math.inf)]):
        solver = cp.make("solver", "simgd", lr=lr)
        a, b, one, other = played(tmp_path / str(n), game, solver, steps=4000, blowup=blowup, every=3)
        assert a.status == "diverged" and 64 < a.steps
        assert_same_end(a, b)
        assert_same(one, other)


def test_a_condition_stops_it_where_it_would(tmp_path: Path) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=GOOD)
    for n, until in enumerate(("gradient_norm<1e-1", "parameter_norm.x<=1e-4")):
        a, b, one, other = played(tmp_path / str(n), game, solver, steps=1000, until=until, seed=1)
        assert a.status == "converged"
        assert_same_end(a, b)
        assert_same(one, other)
    a, b, _, _ = played(tmp_path / "never", game, solver, steps=40, until="gradient_norm<1e-60")
    assert a.status == "not_converged"
    assert_same_end(a, b)


def test_members_with_step_sizes_of_their_own_some_of_which_diverge(tmp_path: Path) -> None:
    game, lr = cp.make("game", "quadratic"), {"x": [0.001, 0.09, 0.01, 0.2, 0.09], "y": [0.001, 0.01, 0.09, 0.2, 0.002]}
    for rule, tolerance in ((MOMENTUM, 0.0), ("adam", 1e-9)):
        solver = cp.make("solver", "simgd", lr=lr, rule=rule)
        a, b, one, other = played(tmp_path / str(tolerance), game, solver, steps=200, members=5, blowup=30.0)
        assert a.status == "max_steps" and (rule == "adam" or 0 < len(a.diverged) < 5)
        assert_same_end(a, b, lambda x, y: torch.allclose(x, y, rtol=tolerance, atol=tolerance))  # noqa: B023
        assert_same(one, other, tolerance)


def test_looking_on_changes_nothing(tmp_path: Path) -> None:
    """An observer that wants every step gets every step, one by one; spectra and samples come when they are due."""
    game, solver = cp.make("game", "projection"), cp.make("solver", "altgd", lr=0.05)
    asked: dict[str, Any] = {"steps": 100, "spectrum_every": 60, "compile": True, "checkpoint_every": 40}
    seen: list[Any] = []
    a = cp.run(game, solver, out=tmp_path / "a", **asked)
    b = cp.run(game, solver, out=tmp_path / "b", observers=[seen.append], **asked)
    assert not a.eager and [s.step for s in seen] == list(range(101))
    assert_same_end(a, b)
    one, other = log_of(tmp_path / "a"), log_of(tmp_path / "b")
    assert_same(one, other)
    assert [s.params["generator"]["input"][0].item() for s in seen] == one["parameters"][:, 0].tolist()
    for name in ("a", "b"):
        with h5py.File(tmp_path / name / "log.h5") as file:
            assert list(file["spectrum/step"]) == [0, 60, 100]
            assert list(file["metrics/step"]) == list(range(0, 101, 10))
        assert {p.name for p in (tmp_path / name / "checkpoints").iterdir()} >= {"step-0", "step-40", "step-80"}


class Stop:
    """Asks for the end at the n-th time it is asked."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("members", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_a_run_resumed_in_the_middle_is_the_run(tmp_path: Path, members: int | None) -> None:
    game, solver = cp.make("game", "dirac-gan"), cp.make("solver", "altgd", lr=0.05, rule="adam")
    asked: dict[str, Any] = {"steps": 300, "compile": True, "trace": False, "members": members}
    whole = cp.run(game, solver, out=tmp_path / "whole", **asked)
    cut = cp.run(game, solver, out=tmp_path / "cut", stop=Stop(2), **asked)
    assert cut.status == "interrupted" and 0 < cut.steps < 300
    again = cp.resume(tmp_path / "cut", game=game, solver=solver, stop=Stop(1))
    assert again.status == "interrupted" and cut.steps < again.steps < 300
    assert_same_end(whole, cp.resume(tmp_path / "cut", game=game, solver=solver))
    assert_same(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"))


def test_a_longer_run_begins_as_a_shorter_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, in the log too: steps are compiled from one on, whatever the length of the run."""
    monkeypatch.setattr(engine, "TRACE_FROM", 20)
    monkeypatch.setattr(engine, "COMPILE_FROM", 60)
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=GOOD, rule="adam")
    logs = {}
    for steps in (30, 59, 60, 61, 150):
        out = tmp_path / str(steps)
        cp.run(game, solver, steps=steps, out=out, seed=1)
        asked = json.loads((out / "run.json").read_text())["settings"]
        assert (asked["trace_from"], asked["compile_from"]) == (20, 60 if steps > 60 else None)
        logs[steps] = log_of(out)
    for steps, log in logs.items():
        for name, x in log.items():
            assert x[:steps].tobytes() == logs[150][name][:steps].tobytes(), (steps, name)
    cp.run(game, solver, steps=150, out=tmp_path / "cut", seed=1, stop=Stop(40))
    assert cp.resume(tmp_path / "cut", game=game, solver=solver, stop=Stop(25)).steps > 60
    cp.resume(tmp_path / "cut", game=game, solver=solver)
    assert_same(log_of(tmp_path / "cut"), logs[150])


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_a_compiler_it_plays_on_and_says_so(
    no_compiler: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=GOOD)
    result = cp.run(game, solver, steps=20, compile=True, out=tmp_path / "r")
    assert result.status == "max_steps"
    assert result.eager == "Steps are not compiled: there is no C compiler here (cc, gcc or clang, or $CC)."
    assert_same_end(result, cp.run(game, solver, steps=20))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "quadratic", "--solver", "simgd", "--steps", "5", "--compile", "--quiet", "--out", "c"])
    assert not ended.value.code
    assert "Warning: Steps are not compiled: there is no C compiler" in capsys.readouterr().err


def test_a_compiled_run_is_not_resumed_without_its_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=GOOD)
    cp.run(game, solver, steps=300, compile=True, out=tmp_path / "r", stop=Stop(1))
    monkeypatch.setattr(c_compiler, "compiler", lambda: None)
    with pytest.raises(UsageError, match=r"cannot go on exactly: steps were compiled .*no C compiler"):
        cp.resume(tmp_path / "r", game=game, solver=solver)
    assert cp.resume(tmp_path / "r", game=game, solver=solver, allow_inexact=True).steps == 300


def test_a_compiler_that_does_not_work() -> None:
    with pytest.raises(Uncompilable, match="did not compile it"):
        compile_c("no C at all", "play")


@pytest.mark.parametrize(
    ("game", "solver", "reason"),
    [
        ("affine-gaussian", "simgd", "it draws random numbers"),
        ("mixture", "simgd", "412931 parameters are too many"),
    ],
)
def test_what_cannot_be_compiled_says_why(game: str, solver: str, reason: str) -> None:
    result = cp.run(cp.make("game", game), cp.make("solver", solver), steps=2, compile=True)
    assert result.status == "max_steps"
    assert result.eager.startswith("Steps are not compiled: ") and re.search(reason, result.eager)


def test_a_game_whose_buffers_change_is_not_compiled() -> None:
    game = cp.make("game", "dirac-gan")

    class Moving(type(game)):
        def refresh(self, params: Any, buffers: Any) -> Any:
            return {**buffers, "noise": buffers["noise"] + 0.1}

    result = cp.run(Moving(), cp.make("solver", "simgd"), steps=3, compile=True)
    assert result.eager == "Steps are not compiled: its buffers change from step to step."


def test_names_may_come_back_in_another_order(tmp_path: Path) -> None:
    class Shuffled(type(cp.make("solver", "simgd"))):
        def init(self, game: Any, params: Any) -> Any:
            return {"a": tmap(torch.zeros_like, params), "b": tmap(torch.zeros_like, params)}

        def step(self, game: Any, params: Any, memory: Any, draw: Any) -> Any:
            local = cp.LocalGame.of(game, params, draw())
            v = local.gradient()
            new = {
                i: {"value": params[i]["value"] - 0.01 * v[i]["value"] - 0.001 * memory["a"][i]["value"]} for i in "yx"
            }
            info = StepInfo({i: local.losses()[i] for i in "yx"}, {i: v[i] for i in "yx"})
            return new, {"b": {i: memory["a"][i] for i in "yx"}, "a": v}, info

    a, b, one, other = played(tmp_path, cp.make("game", "quadratic"), Shuffled(), steps=90)
    assert_same_end(a, b)
    assert_same({k: one[k] for k in ("losses", "gradient_norms")}, {k: other[k] for k in ("losses", "gradient_norms")})
    assert all(torch.equal(a.memory[k][i]["value"], b.memory[k][i]["value"]) for k in "ab" for i in "xy")


def test_members_are_asked_one_by_one_only_where_something_is_drawn() -> None:
    game, l2 = cp.make("game", "dirac-gan"), cp.make("regularizer", "l2")
    quiet = Evaluator(regularized(game, l2), members=3)
    buffers = quiet.start([torch.Generator()] * 3)[1]
    assert not quiet.draws and quiet.draw([], buffers) is buffers
    assert Evaluator(cp.make("game", "affine-gaussian")).draws
    assert Evaluator(regularized(game, cp.make("regularizer", "gradient-penalty"))).draws
