"""Random polynomial games: by hand, stable at 0, the same by seed."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, eigenvalues, jacobian, started
from ..support.toys import at, losses, make


@pytest.mark.parametrize(("n", "dimension", "degree"), [(1, 2, 3), (2, 1, 4), (3, 2, 3), (5, 1, 2)])
def test_a_stable_random_polynomial(n, dimension, degree):
    """v(0) = 0, Re lambda >= 1, every player at a strict minimum of its own: a Nash equilibrium."""
    game = make("random-polynomial", n=n, dimension=dimension, degree=degree, seed=7)
    origin = {i: {"value": torch.zeros(dimension, dtype=F64)} for i in game.players}
    table, _, _ = started(game)
    assert float(ravel(cp.LocalGame.of(table, origin, {}).gradient()).abs().max()) == 0
    J = jacobian(game, origin)
    assert float(torch.linalg.eigvalsh((J + J.T) / 2)[0]) == pytest.approx(1)
    assert float(eigenvalues(J).real.min()) >= 1 - 1e-9
    for k in range(n):
        own = slice(k * dimension, (k + 1) * dimension)
        assert float(torch.linalg.eigvalsh(J[own, own])[0]) >= 1 - 1e-9
    result = cp.run(game, cp.make("solver", "simgd", lr=0.05), steps=400, trace=False, until="gradient_norm<1e-6")
    assert result.status == "converged"


def test_a_random_polynomial_by_hand():
    """Two players, degree 3, from its coefficients; linear terms only where it need not be stable."""
    game = make("random-polynomial", n=2, degree=3, seed=1, stable=False)
    theta = [0.4, -1.1]
    one, two, three = (c.tolist() for c in game.coefficients)
    for i, loss in enumerate(losses(game, at(p0=theta[0], p1=theta[1])).values()):
        expected = sum(one[i][a] * theta[a] for a in range(2))
        expected += sum(two[i][a][b] * theta[a] * theta[b] for a in range(2) for b in range(2)) / 2
        expected += (
            sum(
                three[i][a][b][c] * theta[a] * theta[b] * theta[c] for a in range(2) for b in range(2) for c in range(2)
            )
            / 3
        )
        assert loss == pytest.approx(expected)
    assert game.mu == 0


def test_the_seed_of_a_random_polynomial_is_its_own():
    a, b, c = (make("random-polynomial", seed=s) for s in (0, 0, 1))
    assert a == b != c
    assert all(torch.equal(x, y) for x, y in zip(a.coefficients, b.coefficients, strict=True))
    assert not torch.equal(a.coefficients[2], c.coefficients[2])
    state = torch.get_rng_state()
    make("random-polynomial", seed=5)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"degree": 1}, {"n": 10, "dimension": 10, "degree": 5}], ids=["n", "degree", "size"]
)
def test_random_polynomials_that_cannot_be(options):
    with pytest.raises(cp.UsageError, match=r"random-polynomial|coefficients|degree|\bn\b"):
        make("random-polynomial", **options)
