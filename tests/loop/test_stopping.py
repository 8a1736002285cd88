"""How runs end: converged, with a spent budget, or diverged, which is noticed at once and keeps the last good point."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, ravel

from ..support.cases import CONVERGES, DIVERGES, F64, QUADRATIC, close_trees, generator, identical, simgd, watched


def one_player(loss, start, **options):
    return cp.game_from_losses(lambda p, b: {"x": loss(p["x"]["w"])}, {"x": {"w": torch.as_tensor(start, **options)}})


def test_converged():
    result, seen = watched(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-6")
    assert (result.status, result.message, result.steps) == ("converged", "", seen[-1].step) and result.steps < 1000
    norms = [np.linalg.norm(s.figures.gradient_norms) for s in seen]
    assert norms[-1] < 1e-6 <= min(norms[:-1]), "it stops at the first point that meets it"
    v = LocalGame.of(QUADRATIC, result.params, {}).gradient()
    assert float(ravel(v).norm()) == pytest.approx(norms[-1], rel=1e-12), "and the point is the one returned"


def test_converged_at_the_last_point():
    """The condition is also asked of the point that the last step led to."""
    steps = cp.run(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-6").steps
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=steps, until="gradient_norm<1e-6").status == "converged"
    result = cp.run(QUADRATIC, simgd(CONVERGES), steps=steps - 1, until="gradient_norm<1e-6")
    assert (result.status, result.steps) == ("not_converged", steps - 1) and "not met" in result.message


def test_a_spent_budget_is_no_success():
    result = cp.run(QUADRATIC, simgd(CONVERGES), steps=7)
    assert (result.status, result.steps, result.diverged, result.directory) == ("max_steps", 7, (), None)


def test_no_steps_at_all():
    result, seen = watched(QUADRATIC, simgd(), steps=0, seed=3)
    assert result.status == "max_steps" and identical(result.params, QUADRATIC.init(generator(3)))
    assert [(s.step, s.last) for s in seen] == [(0, True)]


@pytest.mark.parametrize("condition", ["loss.y>=0", "parameter_norm.x<1e9", "gradient_norm.y<=1e9", "loss.x<1e9"])
def test_conditions_by_player(condition):
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=300, until=condition).status == "converged"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("gradnorm<1", "cannot read"),
        ("gradient_norm<", "cannot read"),
        ("gradient_norm<one", "cannot read"),
        ("loss<1", "players x, y"),
        ("gradient_norm.z<1", "players x, y"),
    ],
)
def test_a_condition_that_cannot_be_read(condition, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.run(QUADRATIC, simgd(), steps=1, until=condition)


# --------------------------------------------------------------------------------------------------------- divergence


def test_a_run_that_blows_up_keeps_the_last_point_within_the_bound():
    bound = 1e6
    result, seen = watched(QUADRATIC, simgd(DIVERGES), steps=5000, blowup=bound)
    assert result.status == "diverged" and float(ravel(result.params).norm()) <= bound
    beyond = cp.run(QUADRATIC, simgd(DIVERGES), steps=result.steps + 1, blowup=float("inf"))
    assert beyond.status == "max_steps" and float(ravel(beyond.params).norm()) > bound
    assert "blow-up bound" in result.message and f"at step {result.steps}" in result.message
    assert seen[-1].last and seen[-1].step == result.steps and not any(s.last for s in seen[:-1])
    close_trees(result.params, seen[-1].params)


def test_the_default_bound_is_far_away_and_in_the_precision_of_the_run():
    big = cp.run(QUADRATIC, simgd(DIVERGES), steps=5000)
    small = cp.run(QUADRATIC, simgd(DIVERGES), steps=5000, dtype="float32")
    assert big.status == small.status == "diverged"
    assert 1e28 < float(ravel(big.params).norm()) < 1e32 and 1e13 < float(ravel(small.params).norm()) < 1e17


def test_without_a_bound_a_run_goes_on_to_the_last_finite_number():
    result = cp.run(QUADRATIC, simgd(1e3), steps=500, blowup=float("inf"))
    assert result.status == "diverged" and "not finite" in result.message
    assert all(torch.isfinite(x).all() for x in leaves(result.params)) and float(ravel(result.params).norm()) > 1e100


@pytest.mark.parametrize(
    ("loss", "start", "lr", "words"),
    [
        (lambda w: (w.log() - w).sum(), [0.3, 0.9], 0.5, "loss of x"),  # steps below 0, where log is no number
        (lambda w: w.abs().sqrt().sum(), [1.0, 0.0], 0.1, "gradient of x/w"),  # sqrt has no derivative at 0
        (lambda w: 1e200 * w.sum(), [1.0], 1e200, "parameter x/w"),
    ],
    ids=["loss", "gradient", "parameter"],
)
def test_the_first_value_that_is_not_finite_is_named(loss, start, lr, words):
    result, seen = watched(one_player(loss, start, dtype=F64), simgd(lr), steps=10)
    assert result.status == "diverged" and f"he {words} is not finite at step" in result.message, result.message
    assert torch.isfinite(result.params["x"]["w"]).all()
    assert identical(result.params, seen[-1].params) and result.steps == seen[-1].step


def test_the_last_point_is_looked_at_too():
    """log w falls to -inf at w = 0, where the only step leads: no success, and not below -1e5 either."""
    game = one_player(lambda w: w.log().sum(), [0.5], dtype=F64)
    for until in (None, "loss.x<-1e5", "parameter_norm<0.1"):
        result = cp.run(game, simgd(0.25), steps=1, until=until)
        assert (result.status, result.steps) == ("diverged", 1) and "loss of x is not finite" in result.message
    for until, ended in [
        ("parameter_norm<1e9", ("converged", 0, ())),
        (None, ("max_steps", 1, (0,))),
        ("loss.x<-1", ("not_converged", 1, (0,))),  # -inf is below -1, but no number
    ]:
        both = cp.run(game, simgd([0.25, 0.1]), steps=1, members=2, until=until)
        assert (both.status, both.steps, both.diverged) == ended


def test_the_memory_kept_is_the_one_of_the_point_kept():
    """Going on from the kept state plays the same bad step again."""
    solver = simgd(DIVERGES, rule={"name": "momentum", "beta": 0.5})
    result = cp.run(QUADRATIC, solver, steps=150, blowup=1e3)
    assert result.status == "diverged"
    again = cp.run(QUADRATIC, solver, steps=result.steps, blowup=float("inf"))
    assert identical((again.params, again.memory), (result.params, result.memory))


def test_a_norm_that_overflows_in_single_precision_is_no_false_alarm():
    game = one_player(lambda w: 1e-8 * w.sum(), [1e25, -3e25, 2e25], dtype=torch.float32)
    result, seen = watched(game, simgd(1.0), steps=3, blowup=float("inf"))
    assert result.status == "max_steps"
    for s in seen:
        assert s.figures.parameter_norms == pytest.approx([14**0.5 * 1e25], rel=1e-6)


def test_a_gradient_whose_norm_overflows_is_measured_in_double():
    game = one_player(lambda w: (1e25 * w).sum(), [1e-10, 2e-10], dtype=torch.float32)
    result, seen = watched(game, simgd(0.0), steps=1)
    assert result.status == "max_steps" and seen[0].figures.gradient_norms == pytest.approx([2**0.5 * 1e25], rel=1e-6)
