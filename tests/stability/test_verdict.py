"""The table of verdicts, all of its cells; and that what is known in part never says what the whole denies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterplay.core.stability.certainty import Known, bound_sign, without_neutral
from counterplay.core.stability.equilibrium import AT_REST, Rest, kind_of, rest_of
from counterplay.core.stability.verdict import point_verdict
from counterplay.core.stability.verdict_table import EQUILIBRIA, FLOWS, KINDS, STEPS, cells, verdict
from counterplay.core.stability.verdict_text import lines, number

# ------------------------------------------------------------------------------------------------------- every cell

U, N, L = "unstable", "nash", "stackelberg"
#  ρ(F')      min Re λ(J)   Nash  leader  not Nash           unknown
GRID = """
>1       >0       unstable unstable    unstable        unstable
>1       <0       unstable unstable    unstable        unstable
>1       =0       unstable unstable    unstable        unstable
>1       unknown  unstable unstable    unstable        unstable
<1       >0       nash     stackelberg stable_not_nash stable
<1       <0       nash     stackelberg step_returns    step_returns
<1       =0       nash     stackelberg stable_not_nash stable
<1       unknown  nash     stackelberg stable_not_nash stable
=1       >0       nash     stackelberg marginal        marginal
=1       <0       nash     stackelberg marginal        marginal
=1       =0       nash     stackelberg marginal        marginal
=1       unknown  nash     stackelberg marginal        marginal
unknown  >0       nash     stackelberg unknown         unknown
unknown  <0       nash     stackelberg unknown         unknown
unknown  =0       nash     stackelberg unknown         unknown
unknown  unknown  nash     stackelberg unknown         unknown
none     >0       nash     stackelberg stable_not_nash stable
none     <0       nash     stackelberg unstable        unstable
none     =0       nash     stackelberg marginal        marginal
none     unknown  nash     stackelberg unknown         unknown
"""
EXPECTED = {
    (equilibrium, row.split()[0], row.split()[1]): name
    for row in GRID.strip().splitlines()
    for equilibrium, name in zip(EQUILIBRIA, row.split()[2:], strict=True)
}


def test_the_grid_is_the_whole_table() -> None:
    assert len(EXPECTED) == len(EQUILIBRIA) * len(STEPS) * len(FLOWS) == 80
    assert set(cells()) == set(EXPECTED)


@pytest.mark.parametrize(("equilibrium", "step", "flow"), sorted(EXPECTED))
def test_a_cell(equilibrium: str, step: str, flow: str) -> None:
    name, words, course = verdict(equilibrium, step, flow)
    assert name == EXPECTED[equilibrium, step, flow] and name in KINDS
    said = words.format(own="OWN", course=course, order="")
    assert "OWN" in said and course in said  # what it rests on is always there
    assert said.startswith("unstable") == (name == "unstable")
    if said.startswith("stable"):  # only where one proves it and the other does not deny it
        assert (step == "<1" and flow != "<0") or (step == "none" and flow == ">0")
    assert ("Nash equilibrium" in said) == (equilibrium == "nash")
    assert ("Stackelberg" in said) == (equilibrium == "stackelberg")
    assert ("not Nash" in said) == (equilibrium in ("stackelberg", "not_nash"))
    if (step, flow) in ((">1", ">0"), ("<1", "<0")):  # they disagree, and each is named
        assert "the flow" in said and "this solver's step" in said
    if flow == "<0" and step not in (">1",):
        assert "the flow leaves" in said
    if step == "unknown":
        assert "what this solver's step does is unknown" in said


def test_the_words_of_a_nash_equilibrium_that_the_step_leaves() -> None:
    J, own = np.array([1.0, 2.0]), {"x": np.array([1.0]), "y": np.array([2.0])}
    facts = point_verdict(
        J, own, np.array([1.04, 0.9]), gradient=0.0, noise=0.0, parameters=0.0, sizes={"x": 1, "y": 1}, state_size=2
    )
    words = facts["kind"]["words"]
    assert words.startswith("unstable: Nash equilibrium of the game, from which this solver's step departs")
    assert (
        "though the flow returns: ρ(F') = 1.04, min Re λ(J) = 1; every own block has λ ≥ 0, the least is x's 1" in words
    )


def test_a_block_that_is_0_is_no_proof_of_an_equilibrium() -> None:
    """x³, or -x⁴, is no minimum at 0, and its second derivative does not tell."""
    at: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0, "sizes": {"x": 1, "y": 1}}
    words = point_verdict([1j, -1j], {"x": [0.0], "y": [0.0]}, None, **at)["kind"]["words"]
    assert words.startswith("Nash equilibrium to second order: ") and "the least is x's 0" in words
    assert "second order" not in point_verdict([1.0, 2.0], {"x": [1.0], "y": [2.0]}, None, **at)["kind"]["words"]


@pytest.mark.parametrize("state", ["yes", "no", "unknown"])
@pytest.mark.parametrize(("equilibrium", "step", "flow"), sorted(EXPECTED))
def test_a_cell_where_it_is_not_known_to_rest(equilibrium: str, step: str, flow: str, state: str) -> None:
    """Spectra that land in each cell, with every answer to whether v is 0 there."""
    J = {">0": [1.0, 2.0], "<0": [-1.0, 2.0], "=0": [0.0, 2.0], "unknown": [2.0]}[flow]
    F = {">1": [1.5, 0.1], "<1": [0.5, 0.1], "=1": [1.0, 0.1], "unknown": [0.5], "none": None}[step]
    own = {"nash": ([1.0], [1.0]), "stackelberg": ([-1.0], [1.0]), "not_nash": ([1.0], [-1.0]), "unknown": ([1.0], [])}
    blocks = {i: Known.of(np.array(z), size=1) for i, z in zip("xy", own[equilibrium], strict=True)}
    led = 1.0 if equilibrium == "stackelberg" else None
    update = None if F is None else Known.of(np.array(F), size=2)
    found = kind_of(Known.of(np.array(J), size=2), blocks, update, rest=Rest(state), leader_curvature=led)
    assert found is not None
    assert (found.equilibrium, found.step, found.flow, found.at_rest) == (equilibrium, step, flow, state)
    assert found.curvature == EXPECTED[equilibrium, step, flow]
    if found.curvature == "unstable":
        assert found.name == "unstable" and found.words.startswith("unstable")
    else:
        assert found.name == {"yes": found.curvature, "no": "not_at_rest", "unknown": "unknown"}[state]
    assert ("not at rest" in found.words) == (state == "no")
    assert ("whether it is at rest is unknown" in found.words) == (state == "unknown")


# -------------------------------------------------------------------------------------------------- what is at rest


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"gradient": 1e-4, "noise": 0.0}, "yes"),
        ({"gradient": 1e-1, "noise": 0.0}, "no"),
        ({"gradient": 1.0, "noise": 1e-5, "mean": 5e-5}, "yes"),  # the mean counts, not one batch
        ({"gradient": 1e-4, "noise": 1.0, "mean": 1e-4}, "unknown"),  # a lucky mean: the noise hides v
        ({"gradient": 1.0, "noise": 1.0, "mean": 0.4}, "unknown"),
        ({"gradient": 1.0, "noise": 0.1, "mean": 0.4}, "no"),
        ({"gradient": 1e-4}, "unknown"),  # an old log: how noisy one batch's v is was not recorded
        ({"gradient": 1.0}, "unknown"),
        ({"gradient": 1e-16}, "yes"),
        ({"gradient": 0.0}, "yes"),
        ({"gradient": None, "noise": 0.0}, "unknown"),
        ({"gradient": float("nan"), "noise": 0.0}, "unknown"),
        ({"gradient": float("inf"), "noise": 1.0, "mean": float("inf")}, "unknown"),
    ],
)
def test_at_rest_beside_the_noise(facts: dict[str, Any], state: str) -> None:
    J = Known.of(np.array([1.0, 0.1]), size=2)
    found = rest_of(parameters=0.0, J=J, **facts)
    assert found.state == state
    if state == "yes":
        assert found.distance <= AT_REST


def test_v_of_a_batch_is_noise_alone() -> None:
    """At an equilibrium, and a little beside it, of 400 seeds each: none is said to be where it is not."""
    rng, J = np.random.default_rng(0), Known.of(np.array([1.0]), size=1)
    for true, wrong in ((0.0, "no"), (1.0, "yes")):
        for n in (1, 2, 50):
            for spread in (1e-4, 1e-2, 1.0):
                v = rng.normal(size=(400, 8, n)) * spread / np.sqrt(n) + true / np.sqrt(n)
                mean = np.linalg.norm(v.mean(1), axis=-1)
                noise = np.sqrt((v.var(1, ddof=1)).sum(-1))
                states = [rest_of(0.0, 0.0, J, noise=s, mean=m).state for s, m in zip(noise, mean, strict=True)]
                assert np.mean([s == wrong for s in states]) < (0.02 if n == 1 else 0.005)


def test_the_scale_must_be_known_to_say_that_a_point_moves() -> None:
    J = Known.of([100.0, 1.0], status=["not_converged", "converged"], size=5000)
    assert rest_of(1e-2, 0.0, J, noise=0.0).state == "unknown"  # 1e-2 beside 1, but perhaps 1e-4 beside 100
    assert rest_of(1e-15, 0.0, J, noise=0.0).state == "yes"


def test_the_slowest_direction_must_be_known_to_say_that_a_point_is_at_rest() -> None:
    """v is small beside the largest eigenvalue of any stiff game, as of a GAN with a penalty, wherever it is."""
    part = Known.of([1000.0, 900.0], size=5000)
    assert rest_of(0.1, 0.0, part, noise=0.0).state == "unknown"
    assert rest_of(0.1, 0.0, Known.of([1000.0, 1.0], size=2), noise=0.0).state == "unknown"  # 0.1 away along one
    assert rest_of(0.1, 0.0, Known.of([1000.0, 200.0], size=2), noise=0.0).state == "yes"
    assert rest_of(0.1, 0.0, Known.of([1000.0, 0.0], size=2), noise=0.0).state == "unknown", "no such place may be"


@pytest.mark.parametrize(
    ("newton", "noise", "state"),
    [
        ((5e-4, 0.0, 0.01), 0.0, "yes"),  # whatever the eigenvalues say
        ((50.0, 0.0, 0.01), 0.0, "no"),  # the place is far: J is far from normal
        ((5e-4, 0.0, 0.5), 0.0, "unknown"),  # no such place, or J is 0 there
        ((5e-4, 5e-4, 0.01), 1e-5, "unknown"),  # batches take it to different places
        ((5e-4, 1e-5, 0.01), 1e-5, "yes"),
    ],
)
def test_at_rest_is_how_far_newton_s_step_goes(newton: tuple[float, float, float], noise: float, state: str) -> None:
    J = Known.of(np.array([2.0, 1.0]), size=2)
    assert rest_of(1e-4, 0.0, J, noise=noise, mean=1e-4, newton=newton).state == state


# --------------------------------------------------------------------------------------- a part never denies the whole


def _game(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, int], np.ndarray]:
    """J of two or three players, and F' of some step: plain, with momentum, or of too large a step."""
    sizes = {i: int(rng.integers(1, 5)) for i in "xyz"[: rng.integers(2, 4)]}
    n = sum(sizes.values())
    A, at = rng.normal(size=(n, n)), 0
    J = A - A.T
    for k in sizes.values():
        B = rng.normal(size=(k, k))
        J[at : at + k, at : at + k] = B @ B.T if rng.random() < 0.6 else B + B.T
        at += k
    if rng.random() < 0.3:
        J = A
    lr, beta = float(rng.choice([0.01, 0.05, 0.2, 0.5])), float(rng.choice([0.0, 0.5]))
    F = np.block([[np.eye(n) - lr * J, -lr * beta * np.eye(n)], [J, beta * np.eye(n)]])
    return J, sizes, F if beta else np.eye(n) - lr * J


def _part(rng: np.random.Generator, z: np.ndarray, size: int) -> dict[str, object]:
    """Some of the eigenvalues, some of them not converged and then anywhere; at times all of them, converged."""
    if rng.random() < 0.15:
        return {"eigenvalues": z, "dimension": size}
    kept = (
        np.argsort(-abs(z))[: rng.integers(0, len(z) + 1)]
        if rng.random() < 0.5
        else np.flatnonzero(rng.random(len(z)) < 0.6)
    )
    rough = rng.random(len(kept)) < 0.3
    values = np.where(rough, z[kept] + rng.normal(size=len(kept)) * 3, z[kept])
    residuals = np.where(rough, 0.5, 1e-14)
    return {"eigenvalues": values, "status": rough.astype(int), "residuals": residuals, "dimension": size}


CLAIMS = {  # what a name says of the facts
    "nash": lambda k: k["equilibrium"] == "nash",
    "stackelberg": lambda k: k["equilibrium"] == "stackelberg",
    "stable_not_nash": lambda k: k["equilibrium"] == "not_nash" and k["step"] == "<1",
    "stable": lambda k: k["step"] == "<1",
    "step_returns": lambda k: k["step"] == "<1" and k["flow"] == "<0",
    "marginal": lambda k: k["step"] == "=1",
    "unstable": lambda k: k["name"] == "unstable" and k["step"] == ">1",
    "unknown": lambda k: True,
}


def test_2000_parts_of_random_spectra_contradict_no_whole() -> None:
    rng, decided = np.random.default_rng(20), 0
    for case in range(2000):
        J, sizes, F = _game(rng)
        own, at = {}, 0
        for i, k in sizes.items():
            own[i] = np.linalg.eigvals(J[at : at + k, at : at + k]).astype(complex)
            at += k
        z, moved = np.linalg.eigvals(J), np.linalg.eigvals(F)
        at_rest: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 1.0, "descending": True, "sizes": sizes}
        whole = point_verdict(z, own, moved, state_size=len(moved), **at_rest)
        parts = {i: _part(rng, e, len(e)) for i, e in own.items()}
        far = _part(rng, moved, len(moved)) if rng.random() < 0.5 else None
        part = point_verdict(_part(rng, z, len(z)), parts, _part(rng, moved, len(moved)), update_far=far, **at_rest)
        if part["kind"] is None:
            continue
        for what in ("equilibrium", "step", "flow"):
            said = part["kind"][what]
            assert said in (whole["kind"][what], "unknown"), (case, what, part["kind"], whole["kind"])
        decided += part["kind"]["name"] != "unknown"
        assert CLAIMS[part["kind"]["name"]](whole["kind"]), (case, part["kind"], whole["kind"])
        for key, value in part.items():
            if not isinstance(value, float) or np.isnan(value):
                continue
            exact, sign = whole[key], part["bounds"].get(key)
            slack = 1e-9 * abs(exact) if np.isfinite(exact) else 0.0
            if sign == "≥":
                assert value <= exact + slack, (case, key, value, exact)
            elif sign == "≤":
                assert value >= exact - slack, (case, key, value, exact)
            else:
                assert value == pytest.approx(exact, rel=1e-6), (case, key, value, exact)
    assert decided > 500  # it is not that nothing is ever said


def test_a_bound_is_shown_as_one() -> None:
    sizes = {"x": 500, "y": 500}
    few = point_verdict(
        np.array([8.0, -4.0]), {"x": [8.0], "y": [-4.0]}, np.array([1.2802, 0.7]), sizes=sizes, state_size=3000
    )
    assert few["complete"] is False and few["update_complete"] is False
    shown = lines(few)
    assert shown["conditioning τ = max |λ|/min |λ|"] == "≥ 2" and shown["largest stable simgd step"] == "0"
    assert number(few, "update_radius") == "≥ 1.2802" and number(few, "min_real") == "≤ -4"
    assert shown["predicted rate a step"] == "≥ 1.2802" and shown["stability owed to joint play"] == "unknown"
    assert shown["kind of point"].startswith("unstable") and "ρ(F') ≥ 1.2802" in shown["kind of point"]
    real = point_verdict(np.array([3.0]), {"x": [3.0], "y": [3.0]}, None, sizes=sizes)  # ζ ≥ 0 and τ ≥ 1 say nothing
    assert number(real, "phase") == number(real, "conditioning") == "unknown" and number(real, "max_modulus") == "≥ 3"
    assert bound_sign([True, False], "≥") == "≥" and bound_sign(True, "≥") == "" and bound_sign(None, "≤") == "≤"


def test_what_is_0_to_a_verdict_is_shown_as_0() -> None:
    at: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0, "sizes": {"x": 1, "y": 1}}
    facts = point_verdict([-492 + 1e16j, -492 - 1e16j], {"x": [2.0], "y": [2.0]}, None, **at)
    assert facts["kind"]["flow"] == "=0" and number(facts, "min_real") == "0"
    assert number(point_verdict([-492 + 1e9j, -492 - 1e9j], {"x": [2.0], "y": [2.0]}, None, **at), "min_real") == "-492"


def test_an_eigenvalue_that_has_not_converged_or_has_no_derivative_proves_nothing() -> None:
    sizes = {"x": 500, "y": 500}
    rough = {"eigenvalues": [1.3, 0.9], "status": ["not_converged", "converged"], "residuals": [0.1, 1e-9]}
    facts = point_verdict([5.0], {"x": [5.0], "y": [-1.0]}, rough, sizes=sizes, state_size=1000)
    assert facts["kind"]["step"] == "unknown" and number(facts, "update_radius") == "≥ 0.9"
    loose = {"eigenvalues": [1.01, 0.9], "status": [0, 0], "residuals": [2e-3, 1e-9]}  # 1.01, but for 2 percent
    assert point_verdict([5.0], {"x": [5.0]}, loose, sizes=sizes, state_size=1000)["kind"]["step"] == "unknown"
    bent = {"eigenvalues": [1.3, 0.9], "status": ["not_differentiable"] * 2, "residuals": [0.0, 0.0]}
    facts = point_verdict([5.0, 1.0], {"x": [5.0], "y": [1.0]}, bent, sizes={"x": 1, "y": 1}, state_size=2)
    assert facts["kind"]["step"] == "unknown" and number(facts, "update_radius") == "unknown"
    assert facts["update_complete"] is None


def test_where_j_is_not_what_is_played_there_is_no_verdict() -> None:
    check = {"status": "differs", "words": "J is off by 30 % from differences of v: a loss detaches something."}
    given: dict[str, Any] = {"sizes": {"x": 1, "y": 1}, "gradient": 0.0, "noise": 0.0, "parameters": 0.0}
    for jacobian, name in ((check, "unknown"), ({**check, "status": "agrees"}, "nash"), (None, "nash")):
        kind = point_verdict([1.0, 2.0], {"x": [1.0], "y": [2.0]}, None, jacobian=jacobian, **given)["kind"]
        assert kind["name"] == name and (kind["words"] == check["words"]) == (name == "unknown")


def test_ones_of_f_that_may_be_neutral_predict_nothing() -> None:
    J = Known.of([4.0], size=2)
    assert np.isnan(without_neutral(Known.of([1.0, 0.8], size=2), J, 1e-12)[0])
    whole = Known.of([4.0, 2.0], size=2)
    assert not np.isnan(without_neutral(Known.of([1.0, 0.8], size=2), whole, 1e-12)).any()
