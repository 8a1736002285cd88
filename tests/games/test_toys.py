"""What holds of all toys: cgd is its closed form there, and starting points differ by seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, generator, jacobian, started
from ..support.toys import make

TOYS: list[tuple[str, dict[str, Any]]] = [
    ("weak-attractor", {}),
    ("four-player", {}),
    ("tandem", {}),
    ("matching-pennies", {}),
    ("matching-pennies", {"iterated": True}),
    ("iterated-prisoners-dilemma", {"gamma": 0.5}),
    ("random-polynomial", {}),
    ("covariance", {"dimension": 2}),
    ("projection", {}),
]


@pytest.mark.parametrize(("name", "options"), TOYS, ids=[f"{n}-{k}" for k, (n, _) in enumerate(TOYS)])
def test_cgd_on_the_toys_is_its_closed_form(name, options):
    """theta - (I + eta J_off)^{-1} eta v, by iteration where it is zero-sum: both need the right mixed derivatives."""
    game = make(name, **options)
    table, params, batch = started(game, seed=2)
    local = cp.LocalGame.of(table, params, batch)
    v, J, eta = ravel(local.gradient()), jacobian(table, params, batch), 0.1
    sizes = [sum(x.numel() for x in t.values()) for t in params.values()]
    own = torch.block_diag(*(torch.ones(s, s) for s in sizes)).bool()
    step = -torch.linalg.solve(torch.eye(len(v), dtype=F64) + eta * J.masked_fill(own, 0), eta * v)
    for method in ("dense", "cg" if game.zero_sum and len(sizes) == 2 else "gmres"):
        solver = cp.make("solver", "cgd", lr=eta, method=method)
        after = solver.step(table, params, solver.init(table, params), lambda: batch)[0]
        close(ravel(after), ravel(params) + step, 1e-8)


def test_starting_points_differ_by_seed():
    for name, options in TOYS:
        game = make(name, **options)
        a, b, c = (ravel(game.init(generator(s))) for s in (0, 0, 1))
        assert torch.equal(a, b) and not torch.equal(a, c), name
