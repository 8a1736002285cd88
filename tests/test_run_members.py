"""Ensembles: every member is the run alone, and goes on whatever becomes of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.tree import ravel

from .cases import CONVERGES, QUADRATIC, SmoothGan, close_trees, identical, member, simgd, watched


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
def test_a_member_is_the_run_alone(name):
    """Bit for bit where operations are elementwise: member m is the run of seed + m."""
    solver = cp.make("solver", name, lr=0.02)
    many = cp.run(QUADRATIC, solver, steps=4, seed=7, members=3)
    for m in range(3):
        alone = cp.run(QUADRATIC, solver, steps=4, seed=7 + m)
        if name in ("cgd", "acgd"):
            close_trees(member(many.params, m), alone.params, 1e-13)
        else:
            assert identical(member(many.params, m), alone.params)
    assert many.diverged == ()


def test_a_member_of_a_game_that_draws_is_the_run_alone():
    game = SmoothGan(batch=3)
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "gradient-penalty")]
    solver = simgd(0.1, rule="rmsprop")
    many = cp.run(game, solver, steps=3, seed=7, members=2, regularizers=regularizers)
    for m in range(2):
        alone = cp.run(game, solver, steps=3, seed=7 + m, regularizers=regularizers)
        close_trees(member(many.params, m), alone.params, 1e-8)


def test_members_that_diverge_stand_where_they_last_were_and_the_others_go_on():
    """A stability map: step sizes from safe to absurd. Each frozen member is the run alone, cut short."""
    lr = {"x": [0.09, 0.01, 0.09, 3.0], "y": [0.01, 0.09, 0.01, 3.0]}
    solver = simgd(lr, rule={"name": "momentum", "beta": 0.1})
    result, seen = watched(QUADRATIC, solver, steps=400, members=4, blowup=1e4)
    assert (result.status, result.steps, result.diverged) == ("max_steps", 400, (1, 3))
    for m in range(4):
        own = simgd({i: x[m] for i, x in lr.items()}, rule=solver.rule)
        alone = cp.run(QUADRATIC, own, steps=400, seed=m, blowup=1e4)
        assert identical(member(result.params, m), alone.params)
        assert (alone.status == "diverged") == (m in (1, 3)) and (m in (0, 2) or alone.steps < 400)
        assert identical(member(result.memory, m), alone.memory)
    norms = np.stack([np.linalg.norm(s.figures.parameter_norms, axis=-1) for s in seen])
    assert np.isfinite(norms).all() and len(set(norms[-100:, 3])) == 1 < len(set(norms[-100:, 0]))
    np.testing.assert_allclose(norms[-1], ravel(result.params, True).norm(dim=1).numpy())


def test_a_run_is_over_when_the_last_member_is():
    result = cp.run(QUADRATIC, simgd([0.05, 0.2, 0.5]), steps=5000, members=3, blowup=1e4)
    assert result.status == "diverged" and result.diverged == (0, 1, 2) and result.steps < 5000
    assert (ravel(result.params, True).norm(dim=1) < 1e6).all()


def test_the_default_bound_is_each_member_s_own():
    start = {i: {"value": torch.tensor([[1.0], [1e31]])} for i in "xy"}
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=3, start=start, members=2).diverged == ()
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=3, start=start, members=2, blowup=1e30).diverged == (1,)


def test_an_ensemble_has_converged_when_every_member_has():
    solver = simgd({"x": [0.09, 0.05], "y": 0.01})
    both = cp.run(QUADRATIC, solver, steps=5000, members=2, until="gradient_norm<1e-3")
    alone = [
        cp.run(QUADRATIC, simgd({"x": x, "y": 0.01}), steps=5000, seed=m, until="gradient_norm<1e-3").steps
        for m, x in enumerate((0.09, 0.05))
    ]
    assert both.status == "converged" and both.steps >= max(alone)
