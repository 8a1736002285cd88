"""Krylov methods: residuals tell the truth, members do not disturb each other, LAPACK sees finite numbers only."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterplay.core.solver.inner_solve import solve_dense
from counterplay.core.solver.krylov import arnoldi, conjugate_gradient, conjugate_gradient_with_image, gmres

from ..support.cases import F64, property_test, random


def positive(n, seed, condition=10.0):
    Q, _ = torch.linalg.qr(random(n, n, seed=seed))
    return Q @ torch.diag(torch.logspace(0, torch.log10(torch.tensor(condition)).item(), n, dtype=F64)) @ Q.T


def general(n, seed):
    return torch.eye(n, dtype=F64) * 3 + random(n, n, seed=seed) / n**0.5


class Product:
    """x -> A x for matrices (..., n, n), counting how often it is used."""

    def __init__(self, A):
        self.A, self.count = A, 0

    def __call__(self, x):
        self.count += 1
        return (self.A @ x.unsqueeze(-1)).squeeze(-1)


def relative(A, x, b):
    return torch.linalg.vector_norm(b - (A @ x.unsqueeze(-1)).squeeze(-1), dim=-1) / torch.linalg.vector_norm(b, dim=-1)


SOLVERS = pytest.mark.parametrize(
    ("solve", "matrix"), [(conjugate_gradient, positive), (gmres, general)], ids=["cg", "gmres"]
)


@SOLVERS
def test_the_solution_is_the_dense_one_and_the_residual_true(solve, matrix):
    A, b = matrix(12, 1), random(12, seed=2)
    found = solve(Product(A), b, 1e-11, 100)
    torch.testing.assert_close(found.x, torch.linalg.solve(A, b), rtol=1e-9, atol=1e-9)
    assert found.converged and found.residual <= 1e-11
    assert abs(relative(A, found.x, b) - found.residual) < 1e-13


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("condition", [10, 1e2, 1e4, 1e6])
def test_the_residual_of_conjugate_gradient_is_no_better_than_rounding_lets_it_be(dtype, condition):
    """Without the product that would tell: what the iterations carry along shrinks on where the true one stops."""
    Q, _ = torch.linalg.qr(random(100, 100, seed=int(condition)))
    A, b = (Q * torch.logspace(0, math.log10(condition), 100, dtype=torch.float64)) @ Q.T, random(100, seed=1)
    tol = 3e-5 if dtype == torch.float32 else 1e-10
    found = conjugate_gradient(Product(A.to(dtype)), b.to(dtype), tol, 20_000)
    true = float(relative(A, found.x.double(), b))
    assert true / 5 <= found.residual <= 10 * max(true, tol)
    assert found.converged if true < tol / 5 or condition <= 1e2 else found.converged <= (true <= 1.5 * tol)


@SOLVERS
def test_a_solve_that_is_cut_short_says_so(solve, matrix):
    A, b = matrix(30, 3), random(30, seed=4)
    found = solve(Product(A), b, 1e-12, 4)
    assert not found.converged and found.iterations == 4
    torch.testing.assert_close(relative(A, found.x, b), found.residual, rtol=1e-9, atol=0)
    assert found.residual > 1e-6


@SOLVERS
def test_a_tighter_tolerance_costs_more_and_gives_more(solve, matrix):
    A, b = matrix(40, 5), random(40, seed=6)
    loose, tight = (solve(Product(A), b, tol, 100) for tol in (1e-2, 1e-8))
    assert loose.iterations < tight.iterations and tight.residual <= 1e-8 < loose.residual <= 1e-2


@SOLVERS
def test_nothing_is_asked_for_a_zero_right_hand_side(solve, matrix):
    mv = Product(matrix(5, 0))
    found = solve(mv, torch.zeros(5, dtype=F64), 1e-10, 50)
    assert not found.x.any() and found.converged and found.iterations == 0 and found.residual == 0 and mv.count == 0


@SOLVERS
def test_members_are_solved_together_as_alone(solve, matrix):
    """The identity needs one iteration, the others more, and a zero right-hand side none."""
    A = torch.stack([torch.eye(8, dtype=F64), matrix(8, 7), matrix(8, 8), matrix(8, 9)])
    b = random(4, 8, seed=10)
    b[3] = 0
    mv = Product(A)
    found = solve(mv, b, 1e-10, 100)
    alone = [solve(Product(A[m]), b[m], 1e-10, 100) for m in range(4)]
    for m in range(4):
        torch.testing.assert_close(found.x[m], alone[m].x, rtol=1e-8, atol=1e-8)
        assert found.converged[m]
    assert found.iterations[3] == 0 and not found.x[3].any()
    residual = relative(A[:3], found.x[:3], b[:3])
    assert (residual <= 1e-9).all() and (found.residual <= 1e-10).all()
    assert mv.count <= 1 + max(int(s.iterations) for s in alone)


def test_a_member_that_has_converged_is_frozen():
    """It stands where it met the tolerance, whatever the others still need: going on would move it by 1e-4."""
    A = torch.stack([positive(20, 32, 3.0), positive(20, 11, 1e3)])
    b = random(2, 20, seed=12)
    found = conjugate_gradient(Product(A), b, 1e-3, 100)
    alone = conjugate_gradient(Product(A[0]), b[0], 1e-3, 100)
    assert found.iterations[0] == alone.iterations < found.iterations[1] - 5 and alone.residual > 1e-5
    torch.testing.assert_close(found.x[0], alone.x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.residual[0], alone.residual, rtol=1e-9, atol=0)


def test_a_member_that_has_converged_is_frozen_at_the_restart():
    A = torch.stack([torch.eye(20, dtype=F64) + 0.1 * general(20, 33), general(20, 13)])
    b = random(2, 20, seed=14)
    found = gmres(Product(A), b, 1e-3, 200, restart=4)
    once = gmres(Product(A[0]), b[0], 0.0, 4, restart=4)
    assert found.iterations[0] == 4 < found.iterations[1] and 1e-8 < once.residual < 1e-3
    torch.testing.assert_close(found.x[0], once.x, rtol=1e-12, atol=1e-12)


def test_members_with_different_restarts_of_gmres_keep_their_solution():
    A = torch.stack([torch.eye(20, dtype=F64), general(20, 13)])
    b = random(2, 20, seed=14)
    found = gmres(Product(A), b, 1e-10, 200, restart=4)
    assert found.iterations[0] < found.iterations[1] and found.converged.all()
    torch.testing.assert_close(found.x[0], b[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.x[1], torch.linalg.solve(A[1], b[1]), rtol=1e-8, atol=1e-8)


def test_gmres_restarts_where_conjugate_gradient_would_fail():
    """A rotation: <x, A x> = 0, so conjugate gradient breaks down; restarted GMRES needs the identity's help."""
    J = random(16, 16, seed=15)
    A = torch.eye(16, dtype=F64) + (J - J.T) / 4
    b = random(16, seed=16)
    mv = Product(A)
    found = gmres(mv, b, 1e-10, 400, restart=5)
    assert found.converged and found.iterations > 10
    assert abs(relative(A, found.x, b) - found.residual) < 1e-14
    assert mv.count == found.iterations + -(-int(found.iterations) // 5), "one true residual each cycle"


def test_gmres_solves_in_as_many_steps_as_there_are_eigenvalues():
    A = torch.diag(torch.tensor([1.0, 1, 2, 2, 5, 5], dtype=F64))
    found = gmres(Product(A), random(6, seed=17), 1e-12, 50)
    assert found.iterations == 3 and found.converged


def test_gmres_says_that_a_singular_system_has_no_solution():
    A = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=F64))
    found = gmres(Product(A), torch.ones(3, dtype=F64), 1e-10, 12, restart=3)
    assert not found.converged and torch.isfinite(found.x).all()
    torch.testing.assert_close(found.residual, torch.tensor(3**-0.5, dtype=F64))


@property_test
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_conjugate_gradient_ends_after_n_steps(n, seed):
    A, b = positive(n, seed, 5.0), random(n, seed=seed + 1)
    found = conjugate_gradient(Product(A), b, 1e-9, n + 1)
    assert found.converged and relative(A, found.x, b) < 1e-8


def test_the_image_of_the_solution_costs_nothing():
    """A = I + M M^T: with K p = M^T p on the way, K x comes out of the loop."""
    M = random(7, 4, seed=18)
    b = random(7, seed=19)
    found, image = conjugate_gradient_with_image(
        lambda p: (p + M @ (M.T @ p), M.T @ p), b, torch.zeros(4, dtype=F64), 1e-12, 50
    )
    assert found.converged
    torch.testing.assert_close(image, M.T @ found.x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", [conjugate_gradient_with_image, gmres])
def test_a_solve_starts_where_it_is_told(method):
    """At the solution it takes no iteration, nearby fewer than from 0; the image comes along."""
    A, b = positive(40, 3, 5.0), random(40, seed=4)
    x = torch.linalg.solve(A, b)

    def solved(start):
        if method is gmres:
            return gmres(Product(A), b, 1e-10, 50, start), None
        return conjugate_gradient_with_image(lambda p: (A @ p, 2 * p), b, b, 1e-10, 50, start)

    counts = []
    for start in (None, x + 1e-6 * random(40, seed=5), x):
        found, image = solved(start)
        counts.append(int(found.iterations))
        assert found.converged and relative(A, found.x, b) < 1e-9
        assert image is None or torch.allclose(image, 2 * found.x, rtol=1e-12)
    assert counts[0] > counts[1] > counts[2] == 0


def basis_and_hessenberg(A, start, m):
    V, H = arnoldi(Product(A), start, m)
    return V.mT, H


def test_arnoldi_relation_and_orthogonality():
    A, start = random(15, 15, seed=20), random(15, seed=21)
    V, H = basis_and_hessenberg(A, start, 6)
    assert V.shape == (15, 7) and H.shape == (7, 6)
    torch.testing.assert_close(A @ V[:, :6], V @ H, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(V.T @ V, torch.eye(7, dtype=F64), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(V[:, 0], start / start.norm())


def test_arnoldi_stays_orthogonal_in_single_precision():
    A = (torch.diag(torch.logspace(0, 5, 40, dtype=F64)) + 1e-3 * random(40, 40, seed=22)).float()
    V, _ = arnoldi(Product(A), random(40, seed=23).float(), 20)
    Q = V.mT
    assert (Q.T @ Q - torch.eye(21)).abs().max() < 1e-5


def test_all_eigenvalues_from_a_whole_space():
    A = random(10, 10, seed=24)
    _, H = basis_and_hessenberg(A, random(10, seed=25), 10)
    found, expected = (torch.linalg.eigvals(M).tolist() for M in (H[:-1], A))
    for z in expected:
        near = min(found, key=lambda w, z=z: abs(w - z))
        assert abs(near - z) < 1e-9
        found.remove(near)


def test_an_exhausted_space_ends_the_loop_or_leaves_zeros():
    A = torch.diag(torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=F64))
    V, H = arnoldi(Product(A), torch.ones(4, dtype=F64), 4)
    assert H.shape == (3, 2) and not V[-1].any(), "two different eigenvalues: a space of two dimensions"
    both = torch.stack([A, random(4, 4, seed=26)])
    V, H = arnoldi(Product(both), torch.ones(2, 4, dtype=F64), 3)
    assert H.shape == (2, 4, 3) and V.shape == (2, 4, 4) and not V[0, 3].any() and V[1, 3].any()
    torch.testing.assert_close(H[0, :2, :2], arnoldi(Product(A), torch.ones(4, dtype=F64), 4)[1][:2])


@pytest.fixture
def watched(monkeypatch):
    """torch.linalg with every routine refusing what is not finite."""
    seen = []

    def guard(name):
        routine = getattr(torch.linalg, name)

        def checked(*args, **kwargs):
            seen.append(name)
            assert all(torch.isfinite(x).all() for x in args if isinstance(x, torch.Tensor)), (
                f"{name} got a non-finite matrix"
            )
            return routine(*args, **kwargs)

        monkeypatch.setattr(torch.linalg, name, checked)

    for name in ("pinv", "eig", "eigvals", "solve", "solve_ex", "lstsq", "qr", "svd", "inv"):
        guard(name)
    return seen


@SOLVERS
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["matrix", "right-hand side"])
def test_a_solve_with_non_finite_numbers_has_not_converged(solve, matrix, bad, where, watched):
    A, b = matrix(6, 27), random(6, seed=28)
    if where == "matrix":
        A = A.clone()
        A[2, 3] = bad
    else:
        b[1] = bad
    found = solve(Product(A), b, 1e-10, 20)
    assert not found.converged and not torch.isfinite(found.residual)


@SOLVERS
def test_a_member_with_non_finite_numbers_does_not_spoil_the_others(solve, matrix, watched):
    A = torch.stack([matrix(6, 29), matrix(6, 30)])
    A[0, 0, 0] = float("nan")
    b = random(2, 6, seed=31)
    found = solve(Product(A), b, 1e-10, 60)
    assert found.converged.tolist() == [False, True]
    torch.testing.assert_close(found.x[1], torch.linalg.solve(A[1], b[1]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_dense_solve_has_converged_where_its_residual_is_small(dtype):
    """Well conditioned; almost singular (finite, and no solution); singular; not finite; nothing to solve."""
    A = torch.eye(2, dtype=dtype).repeat(5, 1, 1)
    A[0] = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    A[1] = torch.tensor([[1.0, 1.0], [1.0, 1.0 + torch.finfo(dtype).eps]], dtype=dtype)
    A[2] = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    A[3, 0, 0] = torch.nan
    b = torch.tensor([[1.0, 2.0], [1.0, 3.1], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], dtype=dtype)
    x, told = solve_dense(A, b)
    assert torch.isfinite(x[1]).all() and float(told["residual"][1]) > 0.01
    assert told["converged"].tolist() == [True, False, False, False, True]
    assert solve_dense(A, b, tol=0.5)[1]["converged"].tolist()[0] is True
    assert solve_dense(A, b, tol=0.0)[1]["converged"].tolist()[1] is False
