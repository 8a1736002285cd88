"""How runs end: converged, with a spent budget, or diverged, which is noticed at once and keeps the last good point."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, ravel

from ..support.cases import (
    CONVERGES,
    DIVERGES,
    F64,
    QUADRATIC,
    close_trees,
    generator,
    identical,
    property_test,
    simgd,
    watched,
)
from ..support.scripted import NAN, STEP, Scripted


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


# -------------------------------------------------------------------------------------------------- metrics, patience


def expected_end(script, steps, every, sign, value, patience):
    """The status and the steps of a run, and the place of its best measurement, one measurement after another."""
    meets = {"<": lambda x: x < value, "<=": lambda x: x <= value, ">": lambda x: x > value, ">=": lambda x: x >= value}
    best, found, bad = None, None, 0
    for k in [*range(0, steps, every), steps]:
        x = script[k]
        if math.isfinite(x) and (best is None or (x < best if "<" in sign else x > best)):
            best, found, bad = x, k, 0
        else:
            bad += 1
        if meets[sign](x):
            return "converged", k, found
        if patience is not None and bad >= patience:
            return "not_converged", k, found
    return "not_converged", steps, found


levels = st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, 4.0, NAN, math.inf])


@settings(property_test, max_examples=60)
@given(
    st.lists(levels, min_size=13, max_size=13), st.integers(0, 12), st.integers(1, 4),
    st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from([-1.0, 1.0, 2.0, 9.0]), st.sampled_from([None, 1, 2, 3]),
)  # fmt: skip
def test_a_run_ends_where_the_measurements_say(script, steps, every, sign, value, patience):
    game = Scripted(tuple(script))
    until = f"metric.score{sign}{value}"
    result = cp.run(game, STEP, steps=steps, sample_every=every, until=until, patience=patience)
    status, at, best = expected_end(script, steps, every, sign, value, patience)
    assert (result.status, result.steps) == (status, at)
    assert game.asked == [k for k in [*range(0, steps, every), steps] if k <= at], "measured once, and nowhere else"
    if status == "not_converged":
        assert (f"best at step {best}, " in result.message) is (best is not None), result.message
        assert ("was never a finite number" in result.message) is (best is None)


def test_patience_in_words():
    script = (5.0, 3.0, 4.0, NAN, 3.0, 1.0)
    result = cp.run(Scripted(script), STEP, steps=5, sample_every=1, until="metric.score < 2", patience=3)
    assert (result.status, result.steps) == ("not_converged", 4), "what is equal is no better, and neither is NaN"
    assert result.message.endswith(": metric.score was best at step 1, 3 measurements ago, with the value 3.")
    result = cp.run(Scripted(script), STEP, steps=5, sample_every=1, until="metric.score < 1", patience=4)
    assert result.message.endswith(": metric.score was best at step 5, with the value 1.")
    result = cp.run(Scripted((NAN,) * 6), STEP, steps=5, sample_every=2, until="metric.score<2", patience=2)
    assert (result.steps, result.message) == (2, "Patience has run out: metric.score was never a finite number.")


def test_patience_with_a_norm_is_counted_where_samples_are_taken():
    """The norm falls at every step; with a step size that is too large it grows, and the first one stays the best."""
    asked: dict[str, Any] = {"steps": 400, "sample_every": 50, "until": "gradient_norm<1e-30", "patience": 2}
    assert cp.run(QUADRATIC, simgd(CONVERGES), **asked).steps == 400
    result, seen = watched(QUADRATIC, simgd(DIVERGES), **asked)
    norm = np.linalg.norm(seen[0].figures.gradient_norms)
    assert (result.status, result.steps, seen[-1].last) == ("not_converged", 100, True)
    assert result.message.endswith(
        f": gradient_norm was best at step 0, 2 measurements ago, with the value {norm:.6g}."
    )


def test_the_condition_on_a_norm_is_still_asked_at_every_step():
    plain = cp.run(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-2")
    both = cp.run(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-2", patience=3, sample_every=100)
    assert (both.status, both.steps) == ("converged", plain.steps) and plain.steps % 100


def test_every_member_has_to_meet_it_and_the_worst_one_counts():
    """The second member walks through the script twice as fast."""
    script, lr = (9.0, 1.0, 3.0, 5.0, 1.0, 0.5, 1.0, 7.0, 0.0), cp.make("solver", "simgd", lr=[1.0, 2.0])
    asked: dict[str, Any] = {"members": 2, "sample_every": 1, "steps": 4}
    pairs = [(script[k], script[2 * k]) for k in range(5)]  # (9, 9) (1, 3) (3, 1) (5, 1) (1, 0)
    assert [max(p) for p in pairs] == [9, 3, 3, 5, 1]
    assert cp.run(Scripted(script), lr, until="metric.score<=1", **asked).steps == 4
    result = cp.run(Scripted(script), lr, until="metric.score<=1", patience=2, **asked)
    assert (result.status, result.steps) == ("not_converged", 3) and "best at step 1, 2 mea" in result.message
    assert cp.run(Scripted(script), lr, until="metric.score>=1", **asked).steps == 0
    spoilt = (9.0, 1.0, NAN, 1.0, 1.0)
    assert cp.run(Scripted(spoilt), lr, until="metric.score<=1", **asked | {"steps": 2}).steps == 2


def test_a_member_that_has_diverged_never_meets_it():
    """The first one passes the bound at its fourth step: from then on the condition cannot be met."""
    script, lr = (9.0, 9.0, 9.0, 9.0, 1.0), cp.make("solver", "simgd", lr=[1.0, 0.5])
    asked: dict[str, Any] = {"members": 2, "sample_every": 1, "blowup": 3.5, "until": "metric.score<2"}
    result = cp.run(Scripted(script), lr, steps=5, **asked)
    assert (result.status, result.steps, result.diverged) == ("not_converged", 5, (0,))
    result = cp.run(Scripted(script), lr, steps=50, patience=4, **asked)
    assert (result.status, result.steps, result.diverged) == ("not_converged", 4, (0,))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("metric<1", "cannot read the condition"),
        ("metric.<1", "cannot read the condition"),
        ("metric.score<nan", "cannot read the condition"),
        ("metric.scroe<1", r"there is no metric 'scroe'; did you mean 'score'\? The metrics of one number are "),
        (
            "metric.pair<1",
            r"the metric 'pair' has the shape \(2,\), and a condition compares a single real number",
        ),
    ],
)
def test_a_metric_that_cannot_be_compared(condition, words):
    game = Scripted((0.0,) * 9)
    with pytest.raises(cp.UsageError, match=words):
        cp.run(game, STEP, steps=8, until=condition)
    assert game.asked in ([], [0]), "it is said before the first step is taken"


def test_names_may_have_dots_and_games_no_metrics():
    result = cp.run(Scripted((0.0,) * 9), STEP, steps=8, sample_every=2, until="metric.place.of_x >= 3")
    assert (result.status, result.steps) == ("converged", 4)
    with pytest.raises(cp.UsageError, match=r"no metric 'fid'.*of one number; .* -g metrics=fid\."):
        cp.run(QUADRATIC, simgd(), steps=1, until="metric.fid<20")


def test_patience_needs_a_condition():
    with pytest.raises(cp.UsageError, match="patience 3 needs a condition whose quantity it watches, as in --until"):
        cp.run(QUADRATIC, simgd(), steps=1, patience=3)
    with pytest.raises(cp.UsageError, match="patience must be a whole number of at least 1, got 0"):
        cp.run(QUADRATIC, simgd(), steps=1, until="loss.x<1", patience=0)


def test_observers_see_the_metrics_that_the_condition_sees():
    script = (5.0, 4.0, 3.0, 2.0, 1.0)
    game, seen = Scripted(script), {}
    cp.run(game, STEP, steps=4, sample_every=2, until="metric.score<3.5", history=True,
           observers=[cp.Every(2, lambda s: seen.update({s.step: s.metrics["score"].item()}))])  # fmt: skip
    assert seen == {0: 5.0, 2: 3.0} and game.asked == [0, 2], "measured once for record, observer and condition"
