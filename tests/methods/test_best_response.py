"""Best responses on a grid: on parabolas, by brute force, and by what players know."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.arenas import arena
from ..support.cases import F64, close, member, one_step, started


def test_best_responses_on_a_quadratic_game():
    """Each goes to the minimum of its parabola within reach: -b y / 2a for x, -b x / 2c for y."""
    game = cp.make("game", "quadratic", a=1.0, b=1.0, c=-1.0)
    for x, y, radius_, expected in [
        (0.5, 1.0, 1.0, (-0.5, 0.25)),
        (3.0, 0.0, 1.0, (2.0, 1.0)),
        (3.0, 0.0, 0.25, (2.75, 0.25)),
        (0.0, 0.0, 1.0, (0.0, 0.0)),
    ]:
        params = {"x": {"value": torch.tensor([x], dtype=F64)}, "y": {"value": torch.tensor([y], dtype=F64)}}
        for information in ("local", "full"):
            solver = cp.make("solver", "best-response", information=information, radius=radius_)
            tol = 2 * radius_ / 200 * (1 if information == "local" else 10)
            close(ravel(one_step(game, solver, params)), torch.tensor(expected, dtype=F64), tol)
        half = cp.make("solver", "best-response", information="local", radius=radius_, lr={"x": 0.5, "y": 0.0})
        close(ravel(one_step(game, half, params)), torch.tensor([(x + expected[0]) / 2, y], dtype=F64), 0.01)


def test_aware_players_play_it_safe():
    """The minimum over one's moves of the maximum over the other's, by brute force on the same grid."""
    a = arena((1, 1), 29)
    table, many, _ = started(a.game, members=3)
    many = {i: {k: x * torch.tensor([[1.0], [0.3], [-2.0]], dtype=F64) for k, x in t.items()} for i, t in many.items()}
    solver = cp.make("solver", "best-response", radius=0.7, points=15)
    found, grid = ravel(solver.step(table, many, {}, lambda: {})[0], True), np.linspace(-0.7, 0.7, 15)
    for m in range(3):
        start = ravel(member(many, m)).numpy()
        loss = lambda i, z: z @ a.Q[i].numpy() @ z / 2 + a.c[i].numpy() @ z  # noqa: E731
        for i in range(2):
            unit = np.eye(2)
            worst = [max(loss(i, start + s * unit[i] + t * unit[1 - i]) for t in grid) for s in grid]
            assert float(found[m, i]) == pytest.approx(start[i] + grid[int(np.argmin(worst))], abs=1e-12)


def test_what_players_know_decides_whether_they_stay():
    """ICR-w, Fig. 1, from (0, 2) at radius 1: full information runs off at once; local information goes round in
    growing circles, then runs off; local and opponent-aware stays. The source has alpha much larger than 1, without a
    value: for a whole circle it must exceed exp(36) / 10 = 4e14."""

    def losses(params, batch):
        x, y = (params[i]["value"].squeeze() for i in "xy")
        f = -torch.exp(x * x) - 1e16 * x * y + torch.exp(y * y)
        return {"x": f, "y": -f}

    start = {"x": {"value": torch.zeros(1, dtype=F64)}, "y": {"value": torch.full((1,), 2.0, dtype=F64)}}
    game = cp.game_from_losses(losses, start, zero_sum=True)

    def play(information):
        solver, at, path = cp.make("solver", "best-response", information=information), start, [ravel(start)]
        for _ in range(24):
            at = one_step(game, solver, at)
            path.append(ravel(at))
        return torch.stack(path)

    full, local, aware = (play(information) for information in ("full", "local", "aware"))
    away = torch.arange(25, dtype=F64)
    assert torch.equal(full.abs(), torch.stack([away, away + 2], 1))
    assert local[:, 0].max() == 5 and local[:, 1].max() == 3 and local[:, 0].min() == -3, "round"
    assert torch.equal(local[5:, 1], 4 - away[5:]), "and off"
    assert aware.abs().max() == 2
    close(aware[9:], aware[1:17], 1e-9)


@pytest.mark.parametrize("sizes", [(1, 2), (1, 1, 1), (1,)])
def test_best_response_is_for_two_numbers(sizes):
    with pytest.raises(cp.UsageError, match="two players of one number each"):
        one_step(arena(sizes, 31).game, cp.make("solver", "best-response"), arena(sizes, 31).params)
