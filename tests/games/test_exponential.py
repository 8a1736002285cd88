"""The exponential game: losses, the origin, and what players do who answer each other."""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, generator, jacobian
from ..support.toys import at, losses, make, path


def test_exponential_game():
    game = make("exponential", alpha=3.0)
    x, y = 0.5, -1.2
    f = -math.exp(x * x) - 3 * x * y + math.exp(y * y)
    assert losses(game, at(x=x, y=y)) == {"x": pytest.approx(f), "y": pytest.approx(-f)}
    assert ravel(make("exponential").init(generator())).tolist() == [0.0, 2.0]
    assert ravel(make("exponential", start=(1.0, -1.0)).init(generator())).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("alpha", [3.0, 1e7])
def test_the_origin_of_the_exponential_game_is_the_worst_point_for_both(alpha):
    """J(0) = [[-2, -alpha], [alpha, -2]]: -2 +- i alpha; away from 0 the curvatures are more negative still."""
    game = make("exponential", alpha=alpha)
    close(jacobian(game, at(x=0.0, y=0.0)), torch.tensor([[-2.0, -alpha], [alpha, -2.0]], dtype=F64))
    for x, y in ((0.7, 0.1), (-1.5, 2.0)):
        own = jacobian(game, at(x=x, y=y)).diagonal()
        close(own, torch.tensor([-(2 + 4 * z * z) * math.exp(z * z) for z in (x, y)], dtype=F64))


def best_response(information, steps, **options):
    return path(
        make("exponential", **options), cp.make("solver", "best-response", information=information, points=41), steps
    )


def test_full_information_diverges_at_once():
    """ICR-w Fig. 1, first panel: both run off by 1 a round, and never turn."""
    points, result = best_response("full", 100)
    assert result.status == "diverged"
    size = points.abs()
    close(size[:20, 0], torch.arange(20, dtype=F64))
    close(size[:20, 1], 2 + torch.arange(20, dtype=F64))


@pytest.mark.parametrize(("options", "turns"), [({}, 1), ({"alpha": 1e20}, 1), ({"alpha": 1e50}, 2)])
def test_local_information_oscillates_and_then_diverges(options, turns):
    """Second panel: both turn round, which slows divergence until the exponentials win; the larger alpha, the later."""
    points, result = best_response("local", 100, **options)
    assert result.status == "diverged"
    assert result.steps > best_response("full", 100)[1].steps
    moves = points.diff(dim=0).sign()
    for player, m in zip("xy", moves.T, strict=True):
        assert int(((m[1:] * m[:-1]) < 0).sum()) >= turns, f"{player} turns"
    assert (points.amin(0) < 0).all() and (points.amax(0) > 0).all(), "both cross the origin"


@pytest.mark.parametrize(("exponents", "step", "there", "player"), [((16, 4), 1, [1, 3], 1), ((36, 16), 5, [5, -1], 0)])
def test_below_the_threshold_nobody_turns_back(exponents, step, there, player):
    """y at (1, 3) if 2 alpha > e^16 - e^4, x at (5, -1) if 2 alpha > e^36 - e^16: the reasons for the default."""
    outer, inner = exponents
    threshold = (math.exp(outer) - math.exp(inner)) / 2
    for alpha, back in ((0.99 * threshold, False), (1.01 * threshold, True)):
        points, _ = best_response("local", step + 2, alpha=alpha)
        assert points[step].tolist() == there
        assert (abs(float(points[step + 1, player])) < abs(there[player])) == back


def test_local_and_aware_stays():
    """Third panel: no further out than it began, for ever; here a cycle of eight rounds."""
    points, result = best_response("aware", 40)
    assert result.status == "max_steps"
    assert float(points.abs().max()) <= 2
    close(points[8:], points[:-8])
