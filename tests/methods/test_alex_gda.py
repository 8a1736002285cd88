"""Alternating extrapolation: its own formulas, the methods that it contains, and its rate where those fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import counterplay as cp

from ..support.cases import F64, close, close_trees, matrix_game, random_matrix


@pytest.mark.parametrize("gamma", [2.0, {"p0": 1.5, "p1": 3.0}, {"p0": 0.0, "p1": 1.0}])
def test_it_is_the_published_iteration(gamma):
    """On a linear field v = A theta of two players with three and two numbers, by numpy."""
    A = random_matrix((3, 2), 4)
    game, lr = matrix_game(A, (3, 2)), {"p0": 0.05, "p1": 0.11}
    start = {i: {"value": torch.tensor(x, dtype=F64)} for i, x in (("p0", [1.0, -2.0, 0.5]), ("p1", [0.3, 0.7]))}
    found = cp.run(game, cp.make("solver", "alex-gda", lr=lr, gamma=gamma), steps=7, start=start)
    gx, gy = (gamma["p0"], gamma["p1"]) if isinstance(gamma, dict) else (gamma, gamma)
    a, x, y = A.numpy(), np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.7])
    ahead = y
    for _ in range(7):
        v = a[:3, :3] @ x + a[:3, 3:] @ ahead
        seen, x = x - gx * 0.05 * v, x - 0.05 * v
        w = a[3:, :3] @ seen + a[3:, 3:] @ y
        ahead, y = y - gy * 0.11 * w, y - 0.11 * w
    close(found.params["p0"]["value"], torch.from_numpy(x))
    close(found.params["p1"]["value"], torch.from_numpy(y))


def test_it_contains_alternating_and_simultaneous_play():
    game = matrix_game(random_matrix((2, 1), 5), (2, 1))
    for name, gamma in (("altgd", 1.0), ("simgd", {"p0": 0.0, "p1": 1.0})):
        inside = cp.run(game, cp.make("solver", "alex-gda", lr=0.1, gamma=gamma), steps=9)
        close_trees(inside.params, cp.run(game, cp.make("solver", name, lr=0.1), steps=9).params)


def radius(kappa: float) -> float:
    """Of the update map on min max x B y with singular values 1 and 1 / kappa, lr = 1/2."""
    B = torch.diag(torch.tensor([1.0, 1 / kappa], dtype=F64))
    zero = torch.zeros(2, 2, dtype=F64)
    A = torch.cat([torch.cat([zero, B], 1), torch.cat([-B.T, zero], 1)])
    game = matrix_game(A, (2, 2), zero_sum=True)
    rest = {i: {"value": torch.zeros(2, dtype=F64)} for i in ("p0", "p1")}
    F = cp.update_jacobian(game, cp.make("solver", "alex-gda", lr=0.5, gamma=1.5), rest)
    return float(torch.linalg.eigvals(F).abs().max())


def test_its_rate_on_bilinear_games():
    """1 - rho falls as 1 / kappa^2, and not faster: O(kappa^2 log 1/eps) steps (theorem for bilinear games).

    For a singular value s and a = lr s the map of (x, y, y' - y) is a 3 x 3 matrix, written down here.
    """

    def one(a: float, gamma: float) -> float:
        x, seen = np.array([1, -a, -a]), np.array([1, -gamma * a, -gamma * a])
        M = np.stack([x, np.array([0, 1, 0]) + a * seen, (gamma - 1) * a * seen])
        return float(np.abs(np.linalg.eigvals(M)).max())

    for kappa in (1.0, 4.0, 16.0, 64.0):
        expected = max(one(0.5, 1.5), one(0.5 / kappa, 1.5))
        assert radius(kappa) == pytest.approx(expected, rel=1e-12) and radius(kappa) < 1
    gaps = [(1 - radius(kappa)) * kappa**2 for kappa in (16.0, 64.0, 256.0)]
    assert max(gaps) / min(gaps) < 1.01 and min(gaps) > 0.05


def test_it_converges_where_simultaneous_play_diverges_and_alternating_play_circles():
    ends = {}
    for name in ("simgd", "altgd", "alex-gda"):
        run = cp.run(
            cp.make("game", "bilinear"), cp.make("solver", name, lr=0.3), steps=400, until="gradient_norm<1e-9"
        )
        ends[name] = run.status
    assert ends == {"simgd": "not_converged", "altgd": "not_converged", "alex-gda": "converged"}
