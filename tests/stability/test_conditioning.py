"""What spectra mean: against closed forms, published figures, and the steps themselves; rates and kinds of points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterplay.analysis.measures.log_verdict import lines, point_verdict
from counterplay.core.stability.certainty import Known
from counterplay.core.stability.conditioning import conditioning, largest_step, phase, radius, slowest, steps_to
from counterplay.core.stability.equilibrium import distance, kind_of, rest_of, stability_from_joint_play
from counterplay.core.stability.rate import measured_rate
from counterplay.core.stability.step_sizes import descends, plain_step, step_sizes

from ..support.cases import property_test

SIMGD = np.array([0.01 + 0.4999j, 0.01 - 0.4999j, 0.0312942, 7.9887058])  # the affine Gaussian GAN at its equilibrium
JARE = np.array([2.51 + 0.447102j, 2.51 - 0.447102j, 0.52, 12.5])
QUADRATIC = np.array([[2.0, 10.0], [-10.0, -2.0]])

complexes = st.tuples(st.floats(0.01, 5), st.floats(-5, 5)).map(lambda z: complex(*z))
sets = st.lists(complexes, min_size=1, max_size=6).map(np.array)


# --------------------------------------------------------------------------------------- phase, conditioning, step


@pytest.mark.parametrize(("values", "zeta", "tau", "step"), [(SIMGD, 49.99, 255.3, 0.08), (JARE, 0.178, 24.04, 0.16)])
def test_published_figures_of_the_affine_gaussian_gan(values, zeta, tau, step):
    assert phase(values) == pytest.approx(zeta, abs=5e-3 if zeta > 1 else 5e-4)
    assert conditioning(values) == pytest.approx(tau, abs=0.05 if tau > 100 else 5e-3)
    assert largest_step(values) == pytest.approx(step, abs=1e-6)


@property_test
@given(sets)
def test_the_largest_step_bounds_on_both_sides_and_is_lemma_4_as_printed(values):
    eta = float(largest_step(values))
    assert radius(1 - 0.999 * eta * values) < 1 < radius(1 - 1.001 * eta * values)
    printed = (1 / values.real * 2 / (1 + (values.imag / values.real) ** 2)).min()
    assert eta == pytest.approx(printed, rel=1e-12)


def test_on_the_axis_and_beyond_it_no_step_is_small_enough():
    assert largest_step([1j, -1j, 5.0]) == 0 and largest_step([-1e-3, 1.0]) == 0 and largest_step([0.0, 1.0]) == 0
    assert largest_step([1e-16 + 1j]) == 0 and largest_step([1e-4 + 1j]) > 0  # rounding is no stability
    assert phase([1e-17 + 1j, 1.0]) == np.inf and phase([0.0, 1 + 2j]) == 2
    assert conditioning([0.0, 1.0]) == np.inf and conditioning([2j, -1.0]) == 2


def test_padding_members_and_nothing():
    nan = complex(np.nan, np.nan)
    rows = np.array([[1 + 2j, 4.0, nan], [nan, nan, nan], [2.0, 1.0, -1.0]])
    assert np.allclose(phase(rows), [2, np.nan, 0], equal_nan=True)
    assert np.allclose(largest_step(rows), [0.4, np.nan, 0], equal_nan=True)
    assert np.array_equal(slowest(rows), [1, np.nan, -1], equal_nan=True)
    assert np.array_equal(radius(rows), [4, np.nan, 2], equal_nan=True)
    assert np.isnan(radius(np.zeros(0))) and np.isnan(conditioning(np.zeros(0)))


def test_steps_to_an_error():
    assert steps_to(0.1, 1e-6) == 6 and steps_to(0.9625) == 362 and steps_to(0.0) == 1
    assert steps_to(1.0) == np.inf and steps_to(1.2) == np.inf and np.isnan(steps_to(np.nan))
    n = int(steps_to(0.974))
    assert 0.974**n <= 1e-6 < 0.974 ** (n - 1)


# ----------------------------------------------------------------------------------------------------------- rates

STEPS = np.arange(1000)


@pytest.mark.parametrize("rho", [0.95, 0.98, 0.999, 1.0, 1.02])
@pytest.mark.parametrize("angle", [0.0, 0.07, 3.0])
def test_a_rate_is_measured_through_its_oscillation(rho, angle):
    """As the gradient of one of two players: notches reach deep, and their place moves."""
    size = rho**STEPS * (np.abs(np.cos(angle * STEPS + 0.3)) + 1e-3)
    assert measured_rate(STEPS, size) == pytest.approx(rho, abs=3e-4)


def test_neither_rounding_nor_a_transient_is_measured():
    e = 0.9**STEPS + 3 * 0.5**STEPS
    assert measured_rate(STEPS, np.maximum(e, 1e-16) * (1 + 0.3 * np.sin(STEPS)), floor=1e-14) == pytest.approx(
        0.9, abs=2e-3
    )
    assert measured_rate(STEPS, np.where(e > 1e-9, e, 0.0)) == pytest.approx(0.9, abs=1e-3)  # 0 ends it, too
    assert measured_rate(7 * STEPS, e[::-1][::-1]) == pytest.approx(0.9 ** (1 / 7), abs=1e-3)  # recorded every 7 steps


def test_what_has_no_one_rate_has_none():
    rng = np.random.default_rng(0)
    assert measured_rate(STEPS, np.exp(0.3 * rng.normal(size=1000))) is None  # noise around a level
    assert measured_rate(STEPS, 0.9 ** np.minimum(STEPS, 700)) is None  # stopped in the middle
    assert measured_rate(STEPS, np.zeros(1000)) is None and measured_rate(STEPS[:9], 0.9 ** STEPS[:9]) is None
    assert measured_rate(STEPS, np.full(1000, np.nan)) is None and measured_rate([], []) is None
    assert measured_rate(STEPS, 1 / (1 + STEPS) ** 8.0) is None  # sublinear: ever slower


def test_noise_on_a_decay_is_no_obstacle():
    size = 0.99**STEPS * np.exp(0.5 * np.random.default_rng(1).normal(size=1000))
    assert measured_rate(STEPS, size) == pytest.approx(0.99, abs=1e-3)


@pytest.mark.parametrize("lr", [(0.09, 0.01), (0.03, 0.03), (0.01, 0.09)])
def test_the_measured_rate_is_the_radius_of_the_update_map(lr):
    F = np.eye(2) - np.diag(lr) @ QUADRATIC
    p, size = np.array([1.0, 0.5]), []
    for _ in range(500):
        size.append(np.linalg.norm(QUADRATIC @ p))
        p = F @ p
    assert measured_rate(np.arange(500), np.array(size)) == pytest.approx(radius(np.linalg.eigvals(F)), abs=1e-4)


# ----------------------------------------------------------------------------------------------------------- kinds


def blocks(J, sizes):
    out, at = {}, 0
    for i, n in sizes.items():
        out[i] = np.linalg.eigvalsh(J[at : at + n, at : at + n])
        at += n
    return out


def led(J, sizes):
    """The leader's curvature, as `core.spectra.stackelberg` has it, of two players in a zero-sum game."""
    n = next(iter(sizes.values()))
    A, B, C, D = J[:n, :n], J[:n, n:], J[n:, :n], J[n:, n:]
    if len(sizes) != 2 or np.abs(B + C.T).max() > 0:
        return None
    S = A - B @ np.linalg.solve(D, C) if np.linalg.det(D) else np.full_like(A, np.nan)
    return np.linalg.eigvalsh((S + S.T) / 2).min() if np.isfinite(S).all() else np.nan


def whole(values):
    return Known.of(values, size=len(values))


def kind(J, sizes=None, update=None, **more):
    J = np.array(J, dtype=float)
    sizes = sizes or {"x": 1, "y": 1}
    own = {i: whole(z) for i, z in blocks(J, sizes).items()}
    return kind_of(whole(np.linalg.eigvals(J)), own, update, leader_curvature=led(J, sizes), **more)


def test_the_origin_of_the_quadratic_game_is_stable_but_not_nash():
    """ICR, section 1: simgd at (.09, .01) converges where y alone would leave; at (.01, .09) it does not."""
    for lr, name in [((0.09, 0.01), "stable_not_nash"), ((0.01, 0.09), "unstable"), ((0.03, 0.03), "unstable")]:
        update = np.linalg.eigvals(np.eye(2) - np.diag(lr) @ QUADRATIC)
        found = kind(QUADRATIC, update=whole(update))
        assert found.name == found.curvature == name
        assert "y's own block has λ = -2" in found.because and "ρ(F') =" in found.because
    assert "0.9625" in kind(QUADRATIC, update=whole(np.array([0.9625]))).because
    assert kind(QUADRATIC).name == "marginal"  # the flow circles: Re λ(J) = 0
    own = {i: whole(z) for i, z in blocks(QUADRATIC, {"x": 1, "y": 1}).items()}
    assert stability_from_joint_play(whole(np.linalg.eigvals(QUADRATIC)), own) == pytest.approx(2)
    assert np.isnan(
        stability_from_joint_play(whole(np.linalg.eigvals(QUADRATIC)), {**own, "y": Known.of([-2.0], size=7)})
    )


@pytest.mark.parametrize(
    ("J", "name"),
    [
        ([[1, 5], [-5, 2]], "nash"),
        ([[0, 1], [-1, 0]], "nash"),  # bilinear: nobody gains alone, to second order
        ([[-1, 3], [-3, 2]], "stackelberg"),  # -1 + 9/2 along y's best answers
        ([[2, 10], [-10, -1]], "stable_not_nash"),  # y alone would leave, so that it is no best answer
        ([[-1, 1], [-1, 2]], "unstable"),  # -1 + 1/2 < 0: not even leading
        ([[-1, 1], [-1, 0.5]], "stackelberg"),  # where simultaneous play does not stay
        ([[-1, 3], [2, 2]], "unstable"),  # no zero-sum game: the leader's curvature is another formula
    ],
)
def test_kinds_of_points_in_two_dimensions(J, name):
    found = kind(J)
    stable = np.linalg.eigvals(np.array(J, dtype=float)).real.min() > 0
    assert found.name == name, found
    assert all(part in found.words for part in found.because.split("; "))
    if name.startswith("stable"):
        assert stable
    if name == "unstable":
        assert not stable


@property_test
@given(st.integers(0, 10_000))
def test_in_zero_sum_games_joint_play_never_loosens_and_nash_is_stackelberg(seed):
    """min Re λ(J) >= min λ of the symmetric part, which is the own blocks; PD blocks have PD Schur complements."""
    rng = np.random.default_rng(seed)
    A, D, B = rng.normal(size=(2, 2)), rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    J = np.block([[A + A.T, B], [-B.T, D + D.T]])
    sizes = {"x": 2, "y": 3}
    assert (
        stability_from_joint_play(whole(np.linalg.eigvals(J)), {i: whole(z) for i, z in blocks(J, sizes).items()})
        >= -1e-9
    )
    found = kind(J, sizes)
    own = blocks(J, sizes)
    if min(own["x"].min(), own["y"].min()) > 0:
        assert found.name == "nash"
    S = J[:2, :2] - J[:2, 2:] @ np.linalg.solve(J[2:, 2:], J[2:, :2])
    leads = own["y"].min() > 0 and np.linalg.eigvalsh(S).min() > 0
    assert (found.name in ("nash", "stackelberg")) >= leads
    assert (found.name == "stackelberg") <= leads


def test_three_players_and_unknown_spectra():
    J = np.diag([1.0, 2.0, -0.5]) + np.array([[0, 2, 2], [-2, 0, 2], [-2, -2, 0]])
    assert kind(J, {"a": 1, "b": 1, "c": 1}).name == "stable_not_nash"
    nan = Known.of(np.full(2, np.nan + 0j), size=2)
    assert kind_of(nan, {"x": nan, "y": nan}) is None
    found = kind_of(whole([1.0, 1.0]), {"x": whole([1.0]), "y": nan})
    assert found is not None and found.name == "stable"
    assert "not all eigenvalues of y's own block are known" in found.words


def test_a_point_that_moves_is_no_equilibrium():
    assert distance(3.0, 1.0, 1.0) == 1.5 and distance(1e-9, 1.0, 5.0) < 1e-9
    assert distance(0.0, 1.0, 0.0) == 0 and distance(1.0, 1.0, 0.0) == np.inf
    J = [[1, 5], [-5, 2]]
    far = rest_of(3.0, 1.0, whole([1.0]), noise=0.0)
    found = kind(J, rest=far)
    assert found.name == "not_at_rest" and found.curvature == "nash" and "not at rest" in found.words
    # near an equilibrium eigenvalues are as uncertain as the place: what they cannot tell from 0 is unknown
    near = rest_of(1e-5, 0.0, whole([1.0]), noise=0.0)
    found = kind([[-1e-6, 1], [-1, 1]], rest=near)
    assert (
        found.equilibrium == "unknown"
        and "x's own block has λ = -1e-06, which cannot be distinguished from 0" in found.words
    )
    assert kind([[-1e-6, 1], [-1, 1]]).equilibrium == "stackelberg"


def test_facts_of_a_point_and_their_lines():
    lr = np.diag([0.09, 0.01])
    update = np.linalg.eigvals(np.eye(2) - lr @ QUADRATIC)
    own = blocks(QUADRATIC, {"x": 1, "y": 1})
    at_rest: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0}
    given: dict[str, Any] = {"sizes": {"x": 1, "y": 1}, "state_size": 2, **at_rest}
    facts = point_verdict(np.linalg.eigvals(QUADRATIC), own, update, descending=True, **given)
    assert facts["phase"] == np.inf and facts["largest_step"] == 0 and facts["complete"] is True
    assert facts["predicted_rate"] == pytest.approx(0.9624967) and facts["steps_to_epsilon"] == 362
    multiple = facts["step_multiple"]
    for side in (0.999, 1.001):
        assert (radius(np.linalg.eigvals(np.eye(2) - side * multiple * lr @ QUADRATIC)) < 1) == (side < 1)
    shown = lines(facts)
    assert shown["phase ζ = max |Im λ/Re λ|"] == "∞" and shown["kind of point"].startswith("stable but not Nash")
    two = point_verdict(np.linalg.eigvals(QUADRATIC), own, update, period=2, **given)
    assert two["predicted_rate"] == pytest.approx(0.9624967**0.5) and two["steps_to_epsilon"] == 2 * 362
    few = point_verdict(np.array([8.0, 4.0]), own, None, sizes={"x": 500, "y": 500})
    assert few["complete"] is False and np.isnan(few["joint_part"])
    assert lines(few)["conditioning τ = max |λ|/min |λ|"] == "≥ 2" and "≤" in lines(few)["largest stable simgd step"]


# ---------------------------------------------------------------------------------------------- what was asked


def test_what_an_experiment_says_of_its_steps():
    def asked(solver):
        return {"solver": solver}

    both = ("x", "y")
    sizes = step_sizes(asked({"name": "simgd", "lr": {"x": 0.1, "y": [0.1, 0.2]}}), both)
    assert sizes is not None and sizes["x"] == 0.1 and sizes["y"].tolist() == [0.1, 0.2]
    assert step_sizes(asked("simgd"), both) is None and step_sizes(asked({"lr": {"x": 1.0}}), both) is None
    assert step_sizes(asked({"lr": "much"}), both) is None and step_sizes({}, both) is None
    assert plain_step(asked({"name": "simgd", "lr": 0.1, "rule": {"name": "sgd"}}), both) == 0.1
    assert plain_step(asked({"name": "Simgd", "lr": {"x": 0.1, "y": 0.1}}), both) == 0.1
    assert plain_step(asked({"name": "Simgd", "class": "Simgd", "lr": 0.1}), both) is None  # someone's own
    for other in ({"lr": {"x": 0.1, "y": 0.2}}, {"lr": 0.1, "rule": "adam"}, {"lr": 0.1, "name": "cgd"}, {"lr": 0.0}):
        assert plain_step(asked({"name": "simgd", **other}), both) is None
    assert descends(asked({"name": "reg-generator-only", "rule": "sgd"})) and not descends(asked("extragradient"))
