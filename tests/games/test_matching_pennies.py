"""Matching pennies, one round and iterated: losses, the even point, and who pays."""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, generator, jacobian, started
from ..support.toys import logits, losses, make


def test_matching_pennies():
    """f = -(2p - 1)(2q - 1) = -tanh(x/2) tanh(y/2): J(0) = [[0, -1/4], [1/4, 0]]."""
    game = make("matching-pennies")
    own = losses(game, logits(x=0.8, y=-0.3))
    value = math.tanh(0.4) * math.tanh(-0.15)
    assert own == {"x": pytest.approx(-value), "y": pytest.approx(value)}
    close(jacobian(game, logits(x=0.0, y=0.0)), torch.tensor([[0.0, -0.25], [0.25, 0.0]], dtype=F64))


def test_iterated_matching_pennies():
    """Logits 0 make the other indifferent: v = 0, no curvature of one's own, all eigenvalues imaginary."""
    game = make("matching-pennies", iterated=True)
    even = logits(x=[0.0] * 5, y=[0.0] * 5)
    table, _, _ = started(game)
    assert float(ravel(cp.LocalGame.of(table, even, {}).gradient()).abs().max()) < 1e-15
    J = jacobian(game, even)
    close(J, -J.T)
    close(J[:5, :5], torch.zeros(5, 5, dtype=F64))
    params = game.init(generator(1))
    assert sum(losses(game, params).values()) == pytest.approx(0, abs=1e-12)
    heads = losses(game, logits(x=[40.0] * 5, y=[40.0] * 5))
    assert heads == {"x": pytest.approx(-10), "y": pytest.approx(10)}, "a penny a round, discounted by .9"
