"""Directions along which v is nothing, and turns too slow to be seen: what is set aside, and what is not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.log.log import open_log
from counterplay.analysis.measures.log_verdict import eigenvalue, lines, meaning, point_verdict
from counterplay.core.stability.conditioning import conditioning, neutral, steps_per_turn, without_ones
from counterplay.core.stability.rate import fitted_line, measured_rate

from ..support.logs import quadratic

NAN = complex(np.nan, np.nan)

# ------------------------------------------------------------------------------------------------ neutral directions


def test_zero_is_zero_beside_the_others() -> None:
    rows = np.array([[4.0, 4e-16, -1e-13j], [1.0, 1e-6, NAN], [0.0, 0.0, 0.0], [NAN, NAN, NAN]])
    assert neutral(rows).tolist() == [[False, True, True], [False] * 3, [False] * 3, [False] * 3]
    assert neutral([1.0, 1e-6], 1e-5).tolist() == [False, True]


def test_only_as_many_ones_of_the_update_map_are_set_aside() -> None:
    update = np.array([1.0, 1 + 1e-15, 0.8, NAN])
    assert np.isnan(without_ones(update, 1)).tolist() == [True, False, False, True]
    assert np.isnan(without_ones(update, 2)).tolist() == [True, True, False, True]
    assert np.isnan(without_ones(update, 0)).tolist() == [False, False, False, True]
    assert np.isnan(without_ones(np.array([0.9, 0.8]), 1)).sum() == 0  # no eigenvalue is 1
    both = without_ones(np.stack([update, update]), np.array([0, 1]))
    assert np.isnan(both).sum(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("solver", "steps", "rate"), [("simgd", 150, 0.8), ("ogda", 150, None), ("lookahead-minmax", 600, None)]
)
def test_the_tandem_game_s_line_of_equilibria_is_set_aside(
    tmp_path: Path, solver: str, steps: int, rate: float | None
) -> None:
    """J = [[2, 2], [2, 2]]: 0 along the line, 4 across; what is off the line shrinks by 1 - 4 lr a step.

    Whether a point is at rest along the line no eigenvalue says: v must be 0 to rounding.
    """
    game, method = cp.make("game", "tandem"), cp.make("solver", solver, lr=0.05)
    cp.run(game, method, steps=steps, spectrum_every=steps, out=tmp_path / "t")
    facts = meaning(open_log(tmp_path / "t"))
    assert facts is not None and facts["neutral"] == 1
    assert facts["update_radius"] == pytest.approx(1) and facts["min_real"] == pytest.approx(0, abs=1e-15)
    assert facts["predicted_rate"] == pytest.approx(facts["measured_rate"], abs=2e-3)
    assert facts["predicted_rate"] < 0.97
    assert facts["largest_step"] == pytest.approx(0.5) and facts["conditioning"] == pytest.approx(1)
    assert facts["kind"]["name"] == "nash" and "neutral in 1 direction, where λ(J) = 0" in facts["kind"]["words"]
    if rate is not None:
        assert facts["predicted_rate"] == pytest.approx(rate) and facts["steps_to_epsilon"] == 62
        assert facts["step_multiple"] == pytest.approx(10)
    text = table([summarize(open_log(tmp_path / "t"))])
    assert "eigenvalues of J that are 0, set aside  1\n" in text and "neutral in 1 direction" in text


def test_who_does_not_move_is_not_neutral() -> None:
    """A player with lr 0 leaves an eigenvalue 1 of F', too, and keeps the game from its equilibrium."""
    J = np.array([[2.0, 1.0], [-1.0, 2.0]])
    F = np.linalg.eigvals(np.eye(2) - np.diag([0.1, 0.0]) @ J)
    facts = point_verdict(np.linalg.eigvals(J), None, F, sizes={"x": 1, "y": 1}, state_size=2)
    assert facts["neutral"] == 0 and facts["predicted_rate"] == 1
    assert "set aside" not in " ".join(lines(facts))


def test_a_game_without_curvature_keeps_its_zeros() -> None:
    facts = point_verdict(
        np.zeros(2), {"x": np.zeros(1), "y": np.zeros(1)}, np.ones(2), sizes={"x": 1, "y": 1}, state_size=2
    )
    assert facts["neutral"] == 0 and facts["predicted_rate"] == 1 and conditioning(np.zeros(2)) == np.inf
    assert "neutral" not in facts["kind"]["words"]


def test_a_curvature_lost_beside_a_large_eigenvalue_is_named() -> None:
    """The origin of the exponential game at its default: -2 for both, and 1e16 between them."""
    J = np.array([[-2.0, -1e16], [1e16, -2.0]])
    at: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0, "sizes": {"x": 1, "y": 1}}
    kind = point_verdict(np.linalg.eigvals(J), {"x": J[:1, 0], "y": J[1:, 1]}, None, **at)["kind"]
    assert "x's own block has λ = -2, which cannot be distinguished from 0" in kind["words"]
    assert kind["equilibrium"] == "unknown" and kind["name"] != "nash"


# ------------------------------------------------------------------------------------------------ turns


def test_the_steps_of_a_turn() -> None:
    assert steps_per_turn([0.9 * np.exp(0.1j), 0.9 * np.exp(-0.1j), 0.5j]) == pytest.approx(20 * np.pi)
    assert steps_per_turn([-0.9, 0.2j]) == pytest.approx(2) and steps_per_turn([0.9, 0.8 * np.exp(0.01j)]) == 0
    assert steps_per_turn([0.9 + 1e-8j, 0.9 - 1e-8j]) == 0  # one eigenvalue twice, split by rounding
    assert steps_per_turn([NAN]) == 0 and steps_per_turn([0.0, 0.0]) == 0
    assert steps_per_turn(np.array([[0.9j, NAN], [0.5, 0.1]])).tolist() == [pytest.approx(4), 0]


def test_less_than_a_turn_is_no_rate() -> None:
    """Gradients that shrink by .92 a step and turn in 450: half of 400 steps show .91 or .93, as the phase will."""
    k = np.arange(1200)
    size = 0.92**k * np.hypot(np.cos(2 * np.pi * k / 450), 0.5 * np.sin(2 * np.pi * k / 450))
    wrong = measured_rate(k[:400], size[:400])
    assert wrong is not None and abs(wrong - 0.92) > 3e-3
    assert measured_rate(k[:400], size[:400], turn=450) is None
    why = fitted_line(k[:400], size[:400], turn=450)
    assert why == "199 steps are less than one turn of λ(F'), which takes 450"
    assert measured_rate(k, size, turn=450) == pytest.approx(0.92, abs=3e-4)


@pytest.mark.parametrize(("steps", "measured"), [(40, False), (90, True)])
def test_a_log_too_short_for_its_turns_says_why(tmp_path: Path, steps: int, measured: bool) -> None:
    """The quadratic game under simgd turns once in 21 steps; a window is the second half."""
    log = open_log(quadratic(tmp_path / "q", steps=steps))
    facts = summarize(log)["meaning"]
    text = table([summarize(log)])
    assert (facts["measured_rate"] is not None) == measured == (facts["unmeasured"] is None)
    if measured:
        assert facts["measured_rate"] == pytest.approx(facts["predicted_rate"], abs=2e-3)
    else:
        why = "none: 20 steps are less than one turn of λ(F'), which takes 21"
        assert f"measured rate a step                {why}" in text


def test_members_have_reasons_of_their_own(tmp_path: Path) -> None:
    facts = meaning(open_log(quadratic(tmp_path / "q", steps=40, members=2)))
    assert facts is not None and facts["measured_rate"] == [None, None] and len(facts["unmeasured"]) == 2
    assert "measured rate a step" not in lines(facts) and facts["period"] == 1


# ------------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize(
    ("z", "text"),
    [
        (complex(-0.0, 1.0), "0+1i"),
        (-2.58475e-16 + 9.79796j, "0+9.79796i"),
        (4 + 1e-16j, "4"),
        (-1e-3 + 9.79796j, "-0.001+9.79796i"),
        (1e-30 + 0j, "1e-30"),
        (complex(-0.0, 0.0), "0"),
    ],
)
def test_an_eigenvalue_without_its_rounding(z: complex, text: str) -> None:
    assert eigenvalue(z) == text
    assert eigenvalue(4.4e-16, largest=4.0) == "0" and eigenvalue(1e-9 + 1j, rounding=1e-5) == "0+1i"
