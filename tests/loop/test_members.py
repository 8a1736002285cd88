"""Ensembles: every member is the run alone, and goes on whatever becomes of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import CONVERGES, F64, QUADRATIC, SmoothGan, close_trees, identical, member, simgd, watched


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
def test_a_member_is_the_run_alone(name):
    """Bit for bit where operations are elementwise: member m is the run from its seed."""
    solver = cp.make("solver", name, lr=0.02)
    many = cp.run(QUADRATIC, solver, steps=4, seed=7, members=3)
    for m in range(3):
        alone = cp.run(QUADRATIC, solver, steps=4, seed=cp.member_seed(7, m))
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
        alone = cp.run(game, solver, steps=3, seed=cp.member_seed(7, m), regularizers=regularizers)
        close_trees(member(many.params, m), alone.params, 1e-8)


def test_members_that_diverge_stand_where_they_last_were_and_the_others_go_on():
    """A stability map: step sizes from safe to absurd. Each frozen member is the run alone, cut short."""
    lr = {"x": [0.09, 0.01, 0.09, 3.0], "y": [0.01, 0.09, 0.01, 3.0]}
    rule = {"name": "momentum", "beta": 0.1}
    solver = simgd({**lr}, rule=rule)
    result, seen = watched(QUADRATIC, solver, steps=400, members=4, blowup=1e4)
    assert (result.status, result.steps, result.diverged) == ("max_steps", 400, (1, 3))
    for m in range(4):
        own = simgd({i: x[m] for i, x in lr.items()}, rule=rule)
        alone = cp.run(QUADRATIC, own, steps=400, seed=cp.member_seed(0, m), blowup=1e4)
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
        cp.run(QUADRATIC, simgd({"x": x, "y": 0.01}), steps=5000, seed=seed, until="gradient_norm<1e-3").steps
        for seed, x in ((0, 0.09), (cp.member_seed(0, 1), 0.05))
    ]
    assert both.status == "converged" and both.steps >= max(alone)


@dataclass(frozen=True)
class Gusts(cp.Game):
    """x^2 / 2, but for a gust now and then, at which the loss is infinite: a draw of each member's own."""

    players = ("x",)
    chance: float = 0.08

    def init(self, rng):
        return {"x": {"w": torch.randn(2, generator=rng, dtype=F64)}}

    def sample(self, rng, buffers):
        u = torch.rand((), generator=rng, dtype=F64)
        return {"scale": torch.where(u < self.chance, torch.inf, 1 + u), **buffers}

    def losses(self, params, batch):
        return {"x": 0.5 * batch["scale"] * (params["x"]["w"] ** 2).sum()}


def gusty(m: int | None, **options: Any):
    """Members at once (None), or member m alone."""
    solver = simgd(0.05, rule={"name": "momentum", "beta": 0.5})
    alone = {"members": 5, "seed": 3} if m is None else {"seed": cp.member_seed(3, m)}
    return watched(Gusts(), solver, **{"steps": 12, **alone, **options})


def test_a_member_that_left_does_not_come_back():
    """Its loss is infinite once, at later draws it is not: it stands where it last was, the others go on."""
    many, seen = gusty(None)
    alone = [gusty(m) for m in range(5)]
    gone = tuple(m for m, (result, _) in enumerate(alone) if result.status == "diverged")
    assert 0 < len(gone) < 5 and many.diverged == gone and many.status == "max_steps"
    for m, (result, own) in enumerate(alone):
        assert identical(member(many.params, m), result.params) and identical(member(many.memory, m), result.memory)
        for one, all_ in zip(own, seen, strict=False):
            assert identical(one.params, member(all_.params, m))
            assert one.figures.parameter_norms.tolist() == all_.figures.parameter_norms[m].tolist()
        last = float(torch.linalg.vector_norm(result.params["x"]["w"]))
        assert all(s.figures.parameter_norms[m, 0] == pytest.approx(last, rel=1e-14) for s in seen[result.steps :])


def test_members_that_left_stay_so_in_logs_checkpoints_and_resumed_runs(tmp_path):
    whole, _ = gusty(None, out=tmp_path / "whole")
    left = iter([False] * 9 + [True])
    gusty(None, out=tmp_path / "run", stop=lambda: next(left))
    again = cp.resume(tmp_path / "run", game=Gusts(), solver=simgd(0.05, rule={"name": "momentum", "beta": 0.5}))
    assert identical((again.params, again.memory), (whole.params, whole.memory))
    assert (again.diverged, again.status) == (whole.diverged, whole.status)
    a, b = (cp.open_log(tmp_path / name) for name in ("whole", "run"))
    for name in ("losses", "parameters", "parameter_norms", "gradient_norms"):
        assert np.array_equal(a[f"step/{name}"], b[f"step/{name}"], equal_nan=True)


def test_a_member_that_left_meets_no_condition():
    """All points ever after meet it, also those where the members stand that left: that is not convergence."""
    result, seen = gusty(None, until="parameter_norm<2")
    alive = [m for m in range(5) if m not in result.diverged]
    assert result.status == "not_converged" and result.steps == 12 and 0 < len(alive) < 5
    assert (seen[-1].figures.parameter_norms < 2).all() and not (seen[0].figures.parameter_norms < 2).all()


def test_what_ended_a_run_is_said_of_the_members_that_were_left():
    """The first loses its loss at 27 and finds it no number at every step from there; the second passes the bound."""
    start = {"x": {"w": torch.tensor([[1.0], [-1e-3]], dtype=F64)}}
    loss = lambda w: (-w * w + 0 * (10 - w).sqrt()).sum()  # noqa: E731
    game = cp.game_from_losses(lambda p, b: {"x": loss(p["x"]["w"])}, {"x": {"w": torch.ones(1, dtype=F64)}})
    result = cp.run(game, simgd([1.0, 1.0]), steps=100, members=2, start=start, blowup=40.0)
    assert (result.status, result.diverged, result.steps) == ("diverged", (0, 1), 9)
    assert result.params["x"]["w"].flatten().tolist() == pytest.approx([27.0, -1e-3 * 3**9], rel=1e-12)
    assert "norm 59 passed the blow-up bound 40" in result.message
