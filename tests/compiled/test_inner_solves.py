"""Compiled steps with an inner solve: what they compute, report and count is what the solver does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.compiled import c_compiler
from counterplay.core.errors import PluginError

pytestmark = pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")
SOLVERS: dict[str, dict[str, Any]] = {
    "cgd": {"lr": 0.1},
    "acgd": {"lr": 0.05},
    "stackelberg": {"lr": 0.05, "rule": "adam"},
    "follow-the-ridge": {"lr": 0.05},
    "implicit-euler": {"lr": 0.1},
}


def histories(game: cp.Game, solver: cp.Solver, **asked: Any) -> tuple[Any, Any, Any, Any]:
    """The same run step by step and compiled: their results, and what they recorded but for the clocks."""
    found = []
    for compile in (False, True):
        result = cp.run(game, solver, history=True, compile=compile, trace=False, **asked)
        assert not result.eager and result.history is not None
        names = [n for n in result.history if n.startswith("step/") and not n.endswith("_seconds")]
        found.append((result, {name: np.asarray(result.history[name]) for name in names}))
    (a, one), (b, other) = found
    return a, b, one, other


def assert_alike(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 1e-12) -> None:
    assert one.keys() == other.keys() >= {"step/inner_iterations", "step/inner_residual", "step/inner_converged"}
    for name, x in one.items():
        assert x.dtype == other[name].dtype and x.shape == other[name].shape, name
        np.testing.assert_allclose(x, other[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_with_an_inner_solve(name: str) -> None:
    """On two numbers, where the blocks of J are not 0."""
    a, b, one, other = histories(
        cp.make("game", "quadratic", b=3.0), cp.make("solver", name, **SOLVERS[name]), steps=90
    )
    assert (a.status, a.steps) == (b.status, b.steps) == ("max_steps", 90)
    assert_alike(one, other)
    assert all(torch.allclose(a.params[i]["value"], b.params[i]["value"], rtol=1e-12, atol=1e-12) for i in "xy")
    assert one["step/products"][-1] == other["step/products"][-1] > 0


@pytest.mark.parametrize(("name", "game", "options"), [
    ("cgd", "random-polynomial", {"n": 2, "dimension": 2, "degree": 3}),
    ("acgd", "dirac-gan", {}),
    ("implicit-euler", "matching-pennies", {}),
    ("stackelberg", "four-player", {}),
    ("cgd", "iterated-prisoners-dilemma", {}),
])  # fmt: skip
def test_more_games(name: str, game: str, options: dict[str, Any]) -> None:
    a, b, one, other = histories(cp.make("game", game, **options), cp.make("solver", name, **SOLVERS[name]), steps=70)
    assert a.status == b.status == "max_steps"
    assert_alike(one, other, 1e-10)


@pytest.mark.parametrize("name", ["cgd", "implicit-euler"])
def test_the_closed_form_on_the_bilinear_game(name: str) -> None:
    """Both take z to (I + eta J)^{-1} z with J antisymmetric, so every step divides ||z||^2 by 1 + eta^2."""
    solver = cp.make("solver", name, lr=0.3)
    result = cp.run(cp.make("game", "bilinear"), solver, steps=100, history=True, compile=True, trace=False)
    assert not result.eager and result.history is not None
    points = np.asarray(result.history["step/parameters"])
    norms = (points**2).sum(-1)
    np.testing.assert_allclose(norms, norms[0] * 1.09 ** -np.arange(101.0), rtol=1e-12)


@pytest.mark.parametrize("name", ["cgd", "implicit-euler"])
def test_members_with_step_sizes_of_their_own(name: str) -> None:
    """Some members need more Newton steps than others. All are counted until the last one is done, as step by step."""
    game, solver = cp.make("game", "matching-pennies"), cp.make("solver", name, lr=[0.01, 0.5, 2.0])
    _, _, one, other = histories(game, solver, steps=80, members=3)
    assert_alike(one, other)
    if name == "implicit-euler":
        assert len(set(np.diff(one["step/products"]))) > 1  # the number of passes varies from step to step


def test_a_singular_system_ends_the_run_where_it_would() -> None:
    """The follower's block of J is 0: its best response does not exist."""
    for name in ("stackelberg", "follow-the-ridge"):
        a, b, one, other = histories(cp.make("game", "bilinear"), cp.make("solver", name), steps=80)
        assert a.status == b.status == "diverged" and a.message == b.message and a.steps == b.steps
        assert_alike(one, other)


def test_a_system_that_becomes_singular_ends_the_run_where_it_would() -> None:
    """J_FF = 1 + x vanishes exactly when the leader has made four steps of 1/4."""
    game = cp.game_from_losses(
        lambda p, batch: {
            "x": (p["x"]["value"] + p["y"]["value"]).sum(),
            "y": ((1 + p["x"]["value"]) * p["y"]["value"] ** 2 / 2).sum(),
        },
        {i: {"value": torch.zeros(1, dtype=torch.float64)} for i in "xy"},
    )
    a, b, one, other = histories(game, cp.make("solver", "stackelberg", lr=0.25), steps=80)
    assert a.status == b.status == "diverged" and a.message == b.message and a.steps == b.steps == 4
    assert_alike(one, other)


def test_an_error_that_torch_raises_is_raised(tmp_path: Path) -> None:
    """The inverse of a singular matrix: here x is 0 after eight steps of 1/8."""

    def losses(p: cp.Params, batch: cp.Batch) -> dict[str, torch.Tensor]:
        x = p["x"]["value"]
        return {"x": x.sum() + 0 * torch.linalg.inv(x.reshape(1, 1)).sum()}

    game = cp.game_from_losses(losses, {"x": {"value": torch.ones(1, dtype=torch.float64)}})
    said = []
    for compile in (False, True):
        with pytest.raises(PluginError, match="singular") as raised:
            cp.run(game, cp.make("solver", "simgd", lr=0.125), steps=100, compile=compile, trace=False)
        said.append(str(raised.value))
    assert said[0] == said[1]
    again = cp.run(game, cp.make("solver", "simgd", lr=0.001), steps=100, compile=True)
    assert not again.eager and again.steps == 100


def test_single_precision() -> None:
    game, solver = cp.make("game", "quadratic", b=3.0), cp.make("solver", "acgd", lr=0.05)
    _, _, one, other = histories(game, solver, steps=50, dtype="float32")
    assert_alike(one, other, 1e-5)


def test_conjugate_gradient_is_not_compiled_and_says_so() -> None:
    result = cp.run(cp.make("game", "quadratic"), cp.make("solver", "cgd", method="cg"), steps=3, compile=True)
    assert result.status == "max_steps" and result.eager.startswith("Steps are not compiled: ")
