"""Schedules of the step size and clipping against torch.optim, in runs, ensembles and update maps."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler as theirs

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.registry.registry import entries
from counterplay.core.solver.schedules import SCHEDULES, Schedule
from counterplay.core.solver.solver import Composed

from ..support.cases import F64, close, close_trees, identical, matrix_game, member, random_matrix

AGAINST = {
    "linear": ({"name": "linear", "steps": 7, "end": 0.25}, lambda o: theirs.LinearLR(o, 1.0, 0.25, 7)),
    "cosine": ({"name": "cosine", "steps": 9}, lambda o: theirs.CosineAnnealingLR(o, 9)),
    "cosine to an end": (
        {"name": "cosine", "steps": 9, "end": 0.1},
        lambda o: theirs.CosineAnnealingLR(o, 9, eta_min=0.1),
    ),
    "exponential": ({"name": "exponential", "decay": 0.8}, lambda o: theirs.ExponentialLR(o, 0.8)),
    "steps": ({"name": "steps", "at": [2, 5, 5, 8], "decay": 0.5}, lambda o: theirs.MultiStepLR(o, [2, 5, 5, 8], 0.5)),
    "warm-up": ({"warmup": 4}, lambda o: theirs.LinearLR(o, 0.25, 1.0, 3)),
}


@pytest.mark.parametrize("name", AGAINST)
def test_a_schedule_is_torch_s(name):
    table, scheduler = AGAINST[name]
    schedule = Schedule.parse(table)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    expected = scheduler(optimizer)
    for step in range(9):
        assert float(schedule.factor(torch.tensor(step))) == pytest.approx(expected.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        expected.step()


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_last_factor_stays(name):
    schedule = Schedule.parse({"name": name, "steps": 5, "end": 0.2, "warmup": 3})
    assert [round(float(schedule.factor(torch.tensor(t))), 12) for t in (2, 8, 9, 500)] == [1.0, 0.2, 0.2, 0.2]


def test_what_cannot_be_a_schedule_is_refused_in_words():
    for value, words in (
        ("cosin", r"unknown schedule 'cosin'; did you mean 'cosine'\? Schedules: constant, linear"),
        ({"name": "cosine", "step": 3}, "schedule cosine has no setting 'step'; its settings: warmup, steps, end"),
        ({"name": "steps", "decay": 2.0}, "schedule steps: decay must be a number, more than 0"),
        ({"warmup": -1}, "schedule constant: warmup must be a whole number, 0 or more"),
    ):
        with pytest.raises(UsageError, match=words):
            cp.make("solver", "simgd", schedule=value)


COMPOSED = [e.name for e in entries("solver") if isinstance(e.factory, type) and issubclass(e.factory, Composed)]


@pytest.mark.parametrize("name", COMPOSED)
def test_every_composed_solver_follows_a_schedule(name):
    """Its second step at half the step size is that of the solver with half the step size."""
    game = matrix_game(random_matrix((2, 1), 3))
    rngs = torch.Generator().manual_seed(1)
    start = {i: {k: torch.randn(x.shape, generator=rngs, dtype=F64) for k, x in tree.items()}
             for i, tree in game.init(rngs).items()}  # fmt: skip
    halved = cp.make("solver", name, lr=0.02, schedule={"name": "steps", "at": [1], "decay": 0.5})
    first = cp.run(game, cp.make("solver", name, lr=0.02), steps=1, start=start)
    second = cp.run(game, cp.make("solver", name, lr=0.01), steps=1, start=first.params, memory=first.memory)
    both = cp.run(game, halved, steps=2, start=start)
    close_trees(both.params, second.params)
    assert int(both.memory["step"]) == 2 and "step" not in second.memory


def test_a_step_of_its_own_follows_no_schedule():
    class Own(Composed):
        def step(self, game, params, memory, draw):
            return super().step(game, params, memory, draw)

    with pytest.raises(UsageError, match="Own has a step of its own, which follows no schedule"):
        cp.run(cp.make("game", "quadratic"), Own(schedule=Schedule.parse("cosine")), steps=2)


def test_members_and_players_keep_their_own_step_sizes():
    game, table = cp.make("game", "quadratic"), {"name": "cosine", "steps": 6, "warmup": 2}
    sizes = [0.09, 0.05, 0.01]
    many = cp.run(
        game, cp.make("solver", "altgd", lr={"x": sizes, "y": 0.01}, schedule=table), steps=8, members=3, seed=4
    )
    for m in range(3):
        one = cp.make("solver", "altgd", lr={"x": sizes[m], "y": 0.01}, schedule=table)
        alone = cp.run(game, one, steps=8, seed=cp.member_seed(4, m))
        close_trees(member(many.params, m), alone.params)


def test_a_scheduled_run_resumes_and_replays_bit_for_bit(tmp_path):
    game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=5)
    solver = cp.make("solver", "simgd", rule="adam", schedule={"name": "exponential", "decay": 0.9}, clip_norm=0.1)
    whole = cp.run(game, solver, steps=9, out=tmp_path / "whole")
    cp.run(game, solver, steps=9, out=tmp_path / "cut", checkpoint_every=2, stop=iter([False] * 5 + [True]).__next__)
    assert identical(cp.resume(tmp_path / "cut").params["generator"], whole.params["generator"])
    traced = cp.run(game, solver, steps=9, trace=True)
    close_trees(traced.params, whole.params, 1e-4)


def test_the_update_map_is_that_of_the_step_at_hand():
    """F' = I - lr f(t) J for simgd on a linear field; the count of steps has no derivative."""
    A = random_matrix((1, 1), 6)
    solver = cp.make("solver", "simgd", lr=0.1, schedule={"name": "steps", "at": [2], "decay": 0.25})
    result = cp.run(matrix_game(A), solver, steps=3)
    F = cp.update_jacobian(matrix_game(A), solver, result.params, result.memory)
    close(F[:2, :2], torch.eye(2, dtype=F64) - 0.025 * A)


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        ({"clip_norm": 0.5}, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5)),
        ({"clip_value": 0.3}, lambda p: torch.nn.utils.clip_grad_value_(p, 0.3)),
    ],
)
@pytest.mark.parametrize("members", [None, 2])
def test_directions_are_clipped_player_by_player(options, clip, members):
    game = matrix_game(random_matrix((3, 2), 5), shift=torch.tensor([2.0, -1.0, 0.1, 0.01, 0.02], dtype=F64))
    lr = 0.1
    result = cp.run(game, cp.make("solver", "simgd", lr=lr, **options), steps=4, members=members, seed=2)
    for m in range(members or 1):
        params = {i: {k: x.clone().requires_grad_() for k, x in tree.items()}
                  for i, tree in game.init(torch.Generator().manual_seed(cp.member_seed(2, m))).items()}  # fmt: skip
        for _ in range(4):
            v = cp.LocalGame.of(game, {i: {k: x.detach() for k, x in t.items()} for i, t in params.items()}, {})
            for i, tree in v.gradient().items():
                for k, g in tree.items():
                    params[i][k].grad = g.clone()
                clip(list(params[i].values()))
            with torch.no_grad():
                for tree in params.values():
                    for x in tree.values():
                        assert x.grad is not None
                        x -= lr * x.grad
        found = result.params if members is None else member(result.params, m)
        close_trees(found, {i: {k: x.detach() for k, x in t.items()} for i, t in params.items()}, 1e-5)


def test_a_clipped_step_has_a_derivative_at_rest():
    zero = {i: {"value": torch.zeros(1, dtype=F64)} for i in ("p0", "p1")}
    A = random_matrix((1, 1), 7)
    F = cp.update_jacobian(matrix_game(A), cp.make("solver", "simgd", lr=0.1, clip_norm=1.0, clip_value=2.0), zero)
    close(F, torch.eye(2, dtype=F64) - 0.1 * A)


def test_all_schedules_are_tried():
    assert {name.partition(" ")[0] for name in AGAINST} - {"warm-up"} | {"constant"} == set(SCHEDULES)


@pytest.mark.parametrize("bound", [1e300, float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_bound_beyond_all_numbers_clips_nothing(bound, dtype):
    game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=5)
    plain = cp.run(game, cp.make("solver", "simgd"), steps=3, dtype=dtype)
    clipping = cp.make("regularizer", "weight-clipping", bound=bound)
    solver = cp.make("solver", "simgd", clip_norm=bound, clip_value=bound)
    bounded = cp.run(game, solver, steps=3, dtype=dtype, regularizers=[clipping])
    assert bounded.status == "max_steps"
    close_trees(bounded.params, plain.params, 1e-6)
    assert not identical(plain.params, cp.run(game, cp.make("solver", "simgd", lr=0.0), steps=3, dtype=dtype).params)
