"""The iterated prisoner's dilemma: payoffs by hand, by playing it, and what gradient play learns."""

from __future__ import annotations

import pytest

import counterplay as cp

from ..support.cases import generator
from ..support.toys import logits, losses, make

NEVER, ALWAYS = -40.0, 40.0  # sigmoids that are 0 and 1 to rounding
DEFECT, COOPERATE = [NEVER] * 5, [ALWAYS] * 5
TIT_FOR_TAT = [ALWAYS, ALWAYS, NEVER, ALWAYS, NEVER]  # what the other did last: CC, CD, DC, DD
GRIM = [ALWAYS, ALWAYS, NEVER, NEVER, NEVER]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.96])
@pytest.mark.parametrize(
    ("x", "y", "first", "later"),
    [
        (DEFECT, DEFECT, (-2, -2), (-2, -2)),
        (TIT_FOR_TAT, TIT_FOR_TAT, (-1, -1), (-1, -1)),
        (COOPERATE, DEFECT, (-3, 0), (-3, 0)),
        (TIT_FOR_TAT, DEFECT, (-3, 0), (-2, -2)),
        (DEFECT, GRIM, (0, -3), (-2, -2)),
    ],
)
def test_iterated_prisoners_dilemma(x, y, first, later, gamma):
    """Discounted: first + gamma/(1 - gamma) later; at gamma .96 defecting costs 50, tit-for-tat 25, or 51 to 48."""
    own = losses(make("iterated-prisoners-dilemma", gamma=gamma), logits(x=x, y=y))
    expected = [-(a + gamma / (1 - gamma) * b) for a, b in zip(first, later, strict=True)]
    assert own == {"x": pytest.approx(expected[0], abs=1e-9), "y": pytest.approx(expected[1], abs=1e-9)}


def test_the_dilemma_by_playing_it():
    """The linear solve against the sum over rounds."""
    game = make("iterated-prisoners-dilemma", gamma=0.7)
    params = game.init(generator(3))
    p, q = (params[i]["logits"].sigmoid().tolist() for i in "xy")
    law = {(a, b): (p[0] if a else 1 - p[0]) * (q[0] if b else 1 - q[0]) for a in (1, 0) for b in (1, 0)}
    pay = {(1, 1): (-1, -1), (1, 0): (-3, 0), (0, 1): (0, -3), (0, 0): (-2, -2)}
    after = {(1, 1): 1, (1, 0): 2, (0, 1): 3, (0, 0): 4}
    total = [0.0, 0.0]
    for t in range(120):
        for n in range(2):
            total[n] -= 0.7**t * sum(law[s] * pay[s][n] for s in law)
        moves = {s: (p[after[s]], q[after[s[::-1]]]) for s in law}
        law = {
            (a, b): sum(
                w * (moves[s][0] if a else 1 - moves[s][0]) * (moves[s][1] if b else 1 - moves[s][1])
                for s, w in law.items()
            )
            for a, b in pay
        }
    assert list(losses(game, params).values()) == pytest.approx(total, abs=1e-9)
    metrics = game.metrics(params, {})
    assert [float(metrics[f"payoff_{i}"]) for i in "xy"] == pytest.approx([-0.3 * t for t in total])


def test_defection_is_an_equilibrium_and_attracts_gradient_play():
    """From indifference gradient play learns to defect: a payoff near -2 a round."""
    game = make("iterated-prisoners-dilemma")
    result = cp.run(
        game, cp.make("solver", "simgd", lr=1.0), steps=150, trace=False, start=logits(x=[0.0] * 5, y=[0.0] * 5)
    )
    assert float(game.metrics(result.params, {})["payoff_x"]) < -1.9
