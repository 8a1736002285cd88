"""Second and third derivatives of games of every network, alone and as members, against differences in float64."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import add, dot, ravel, scale, sub

from ...support.cases import F64, direction_like
from ...support.networks import NARROW, moved, narrow

H = 1e-6  # so small that no ReLU and no maximum changes sides between the two points


def point(game: cp.Game, members: int | None) -> LocalGame:
    table = Evaluator(game, members, F64)
    rngs = table.generators(3)
    params, buffers = table.start(rngs)
    params = moved(params)
    local = LocalGame.of(table, params, table.draw(rngs, table.refresh(params, buffers)))
    for tree in local.gradient().values():  # at 1x1 pixel, the outer part of a kernel only sees padding
        assert sum(int(x.count_nonzero()) for x in tree.values()) > 0.3 * sum(x.numel() for x in tree.values())
    return local


def products_against_differences(game: cp.Game, members: int | None, tol: float) -> None:
    local, stacked = point(game, members), members is not None
    u, w = direction_like(local.params, 2), direction_like(local.params, 4)
    J = local.jacobian()
    Ju, v = J.mv(u), [local.at(add(local.params, scale(u, s * H))).gradient() for s in (1, -1)]
    slope = ravel(sub(*v), stacked) / (2 * H)
    error = (ravel(Ju, stacked) - slope).abs().max()
    assert float(error) <= tol * float(slope.abs().max()), float(error / slope.abs().max())
    left, right = dot(Ju, w), dot(u, J.rmv(w))
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("name", NARROW)
def test_second_derivatives(name, members):
    """J u is the slope of v, which autograd gives, and J^T is the adjoint of J."""
    products_against_differences(narrow(name), members, 1e-6)


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("name", NARROW)
def test_third_derivatives(name, members):
    """With the consensus term v is conopt's direction: J u is the slope of that."""
    game = regularized(narrow(name), cp.make("regularizer", "consensus", gamma=0.1))
    products_against_differences(game, members, 1e-5)
