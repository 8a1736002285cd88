"""Eigenvalues with residuals and a status: dense and by Arnoldi, one game or many."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.derivatives.operator import Operator
from counterplay.core.log.schema import SPECTRUM_STATUS
from counterplay.core.solver.krylov import arnoldi
from counterplay.core.spectra import spectrum as module
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.spectra.spectrum import spectrum

from ..support.cases import (
    F64,
    SmoothGan,
    close,
    generator,
    matrix_game,
    member,
    random,
    random_matrix,
    same_spectrum,
    started,
)


def of(matrix):
    """A matrix (..., N, N) as an operator."""
    many = matrix.dim() == 3
    x = {"p": {"value": torch.zeros(matrix.shape[:-1], dtype=matrix.dtype)}}
    mul = lambda M, u: {"p": {"value": (M @ u["p"]["value"].unsqueeze(-1)).squeeze(-1)}}  # noqa: E731
    return Operator(lambda u: mul(matrix, u), lambda w: mul(matrix.mT, w), x, x, many)


def status(found):
    """What is said of each member's eigenvalues, once."""
    rows = found.status.reshape(-1, found.status.shape[-1]).tolist()
    return [" and ".join(sorted({SPECTRUM_STATUS[i] for i in row})) for row in rows]


def with_eigenvalues(values, seed):
    """A matrix that is not normal, with these real eigenvalues."""
    Q = torch.eye(len(values), dtype=F64) + 0.3 * random(len(values), len(values), seed=seed) / len(values) ** 0.5
    return Q @ torch.diag(torch.tensor(values, dtype=F64)) @ torch.linalg.inv(Q)


@pytest.fixture
def always_krylov(monkeypatch):
    monkeypatch.setattr(module, "DENSE", 0)


@pytest.fixture
def guarded(monkeypatch):
    """LAPACK refuses what is not finite, as it may hang on it."""
    eig = torch.linalg.eig

    def checked(A):
        assert torch.isfinite(A).all()
        return eig(A)

    monkeypatch.setattr(torch.linalg, "eig", checked)


def test_all_eigenvalues_of_a_small_operator():
    A = random(8, 8, seed=1)
    found = spectrum(of(A))
    same_spectrum(A, found.eigenvalues, 1e-12)
    size = found.eigenvalues.abs()
    assert (size[:-1] >= size[1:]).all() and status(found) == ["converged"] and float(found.residuals.max()) < 1e-12
    assert found.eigenvalues.dtype == torch.complex128 and found.residuals.shape == (8,)


def test_the_spectrum_of_a_game_and_of_a_player():
    game = cp.make("game", "quadratic")
    J = LocalGame.of(game, game.init(generator()), {}).jacobian()
    assert sorted(spectrum(J).eigenvalues.imag.tolist()) == pytest.approx([-(96**0.5), 96**0.5])
    assert spectrum(J.block("y", "y")).eigenvalues.tolist() == [-2]


def test_members_have_spectra_of_their_own():
    table, params, batch = started(SmoothGan(batch=3), members=2)
    found = spectrum(LocalGame.of(table, params, batch).jacobian())
    assert found.eigenvalues.shape == found.residuals.shape == (2, 116) and found.status.shape == (2, 116)
    for m in range(2):
        alone = LocalGame.of(SmoothGan(batch=3), member(params, m), member(batch, m)).jacobian()
        same_spectrum(alone.dense(), found.eigenvalues[m], 1e-6)


def test_single_precision_is_measured_in_double():
    A = random(5, 5, seed=2).float()
    found = spectrum(of(A))
    assert found.eigenvalues.dtype == torch.complex128
    same_spectrum(A.double(), found.eigenvalues, 1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_said_and_never_reaches_lapack(bad, guarded):
    A = torch.stack([random(4, 4, seed=3), random(4, 4, seed=4)])
    A[0, 1, 2] = bad
    found = dense_spectrum(A)
    assert status(found) == ["not_finite", "converged"]
    assert torch.isnan(found.eigenvalues[0].real).all() and torch.isnan(found.residuals[0]).all()
    same_spectrum(A[1], found.eigenvalues[1], 1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_same_in_a_krylov_space(bad, guarded, always_krylov):
    A = torch.stack([random(6, 6, seed=5), random(6, 6, seed=6)])
    A[0, 1, 2] = bad
    found = spectrum(of(A), k=6)
    assert status(found) == ["not_finite", "converged"]
    same_spectrum(A[1], found.eigenvalues[1], 1e-9)
    assert status(spectrum(of(A[0]), k=6)) == ["not_finite"]


def test_the_largest_eigenvalues_by_arnoldi(always_krylov):
    values = [20.0, -15.0, 11.0, 8.0] + [3.0 / (n + 1) for n in range(46)]
    A = with_eigenvalues(values, 7)
    found = spectrum(of(A), k=4)
    assert status(found) == ["converged"] and found.residuals.max() < 1e-8
    assert found.eigenvalues.real.tolist() == pytest.approx([20, -15, 11, 8], abs=1e-5)


def test_a_ritz_residual_is_what_it_says(always_krylov):
    """||A q - lambda q|| / max |lambda| of the Ritz vector, without having it: here with it."""
    A = random(30, 30, seed=8)
    found = spectrum(of(A), k=3, max_products=8)
    start = torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=F64)
    V, H = arnoldi(lambda x: A @ x, start, 8)
    values, S = torch.linalg.eig(H[:-1])
    Q = V[:-1].T.to(S.dtype) @ S
    assert len(found.eigenvalues) >= 3
    for z, r in zip(found.eigenvalues.tolist(), found.residuals.tolist(), strict=True):
        n = int((values - z).abs().argmin())
        q = Q[:, n] / Q[:, n].norm()
        assert r == pytest.approx(float((A.to(q.dtype) @ q - z * q).norm() / values.abs().max()), abs=1e-10)


@pytest.mark.parametrize("strength", [1.0, 3.0, 30.0])
def test_a_small_residual_is_no_eigenvalue_where_the_operator_is_far_from_normal(strength, always_krylov):
    """A triangular matrix has its diagonal for eigenvalues; Ritz values of residual 1e-10 lie far outside."""
    n = 300
    upper = torch.triu(random(n, n, seed=14), 1) / n**0.5
    A = torch.diag(torch.linspace(0.1, 0.9, n, dtype=F64)) + strength * upper
    found = spectrum(of(A), k=20, max_products=200)
    wrong = found.eigenvalues.abs() > 0.9 * (1 + 1e-8)
    assert not bool((wrong & (found.status == 0)).any())
    assert float(found.residuals[0]) < 1e-8, "small, and yet"


def test_a_small_member_is_not_taken_for_symmetric_beside_a_large_one():
    A = torch.stack([1e20 * torch.eye(2, dtype=F64), torch.tensor([[1.0, 2.0], [-2.0, 1.0]], dtype=F64)])
    found = dense_spectrum(A)
    same_spectrum(A[1], found.eigenvalues[1], 1e-12)
    assert (found.errors[1] < 1e-13).all()


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_eigenvalues_of_a_jordan_block_are_off_by_the_root_of_rounding(value, size):
    """They look exact where the block is triangular; the same block in another basis shows that they are not."""
    A = torch.diag(torch.full((size + 1,), value, dtype=F64))
    A[:size, :size] += torch.diag(torch.ones(size - 1, dtype=F64), 1)
    A[size, size] = 3.0
    found = dense_spectrum(torch.stack([A, torch.eye(size + 1, dtype=F64)]))
    errors = found.errors[0] * 3.0
    assert errors[0] < 1e-13 and not (errors[1:] < 1e-15 ** (1 / size)).any() and not (errors[1:] > 1e-3).any()
    assert (found.errors[1] < 1e-13).all(), "a multiple eigenvalue with eigenvectors of its own is exact"
    for seed in range(5):
        Q = torch.linalg.qr(random(size + 1, size + 1, seed=seed))[0]
        rotated = torch.linalg.eigvals(Q @ A @ Q.T)
        for z, off in zip(found.eigenvalues[0], errors, strict=True):
            assert not (rotated - z).abs().min() > off + 1e-12, "an error of NaN is unknown"


def test_eigenvalues_that_coincide_are_off_by_the_root_of_the_residual(always_krylov):
    """A Jordan block of three in a random basis: the figures differ by 1e-6, and are not called converged."""
    A = torch.diag(torch.linspace(0, 0.5, 60, dtype=F64))
    A[:3, :3] = torch.tensor([[0.9, 1, 0], [0, 0.9, 1], [0, 0, 0.9]], dtype=F64)
    Q = torch.linalg.qr(random(60, 60, seed=15))[0]
    found = spectrum(of(Q @ A @ Q.T), k=6)
    assert float((found.eigenvalues[0] - 0.9).abs()) > 1e-7 and found.status[0] == 1


def test_what_has_not_converged_is_reported_and_kept(always_krylov):
    A = random(60, 60, seed=9)
    found = spectrum(of(A), k=10, max_products=15)
    assert status(found) == ["not_converged"] and found.eigenvalues.shape == (10,)
    assert torch.isfinite(found.residuals).all() and found.residuals.max() > 1e-3


def test_an_eigenvalue_that_has_not_converged_is_the_only_one(always_krylov):
    found = spectrum(
        of(with_eigenvalues([9.0, 5.0, 0.3] + [0.1 + 0.002 * n for n in range(40)], 10)), k=4, max_products=12
    )
    assert found.status.tolist() == [0, 0, 0, 1] and (found.residuals <= 1e-8).tolist() == [True, True, True, False]


def test_a_member_that_has_not_converged_is_the_only_one(always_krylov):
    A = torch.stack([with_eigenvalues([9.0, 5.0] + [0.1] * 38, 10), random(40, 40, seed=11)])
    found = spectrum(of(A), k=2, max_products=20)
    assert status(found) == ["converged", "not_converged"]
    close(found.eigenvalues[0].real, torch.tensor([9.0, 5.0], dtype=F64), 1e-6)


def test_a_space_that_is_exhausted_gives_what_it_holds(always_krylov):
    """The identity: one direction, one eigenvalue, found in one product."""
    found = spectrum(of(torch.eye(10, dtype=F64)), k=5)
    assert found.eigenvalues.tolist() == [1] and status(found) == ["converged"]


def test_a_zero_operator(always_krylov):
    found = spectrum(of(torch.zeros(5, 5, dtype=F64)), k=2)
    assert not found.eigenvalues.any() and torch.isfinite(found.residuals).all() and status(found) == ["converged"]


def test_enough_products_find_everything(always_krylov):
    A = random(12, 12, seed=12)
    same_spectrum(A, spectrum(of(A), k=12).eigenvalues, 1e-8)


def test_the_same_point_gives_the_same_figures(always_krylov):
    A = random(30, 30, seed=13)
    assert torch.equal(spectrum(of(A), k=5).eigenvalues, spectrum(of(A), k=5).eigenvalues)


def test_the_number_of_products_is_bounded(always_krylov):
    game = matrix_game(random_matrix((20, 20), 14), (20, 20))
    table = Evaluator(game)
    spectrum(LocalGame.of(table, game.init(generator()), {}).jacobian(), k=5, max_products=17)
    assert table.cost.products == 17


def test_a_large_game_is_not_made_dense():
    """Above 2,000 parameters: the leading pair of a bilinear game with one strong direction."""
    n = 1100
    strength = torch.ones(n, dtype=F64)
    strength[0], strength[1] = 9.0, 5.0

    def losses(p, b):
        f = (strength * p["x"]["w"] * p["y"]["w"]).sum()
        return {"x": f, "y": -f}

    start = {i: {"w": torch.ones(n, dtype=F64)} for i in "xy"}
    found = spectrum(LocalGame.of(cp.game_from_losses(losses, start), start, {}).jacobian(), k=4)
    assert status(found) == ["converged"]
    assert sorted(found.eigenvalues.imag.tolist()) == pytest.approx([-9, -5, 5, 9], abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("hidden", [True, False])
def test_the_eigenvalues_of_a_defective_matrix_say_how_far_they_may_be_off(n: int, hidden: bool) -> None:
    """One Jordan block of 1/512: rounding moves its n-fold eigenvalue by the n-th root of eps."""
    A = torch.eye(n, dtype=torch.float64) / 512 + torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    if hidden:
        Q = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        A = Q @ A @ torch.linalg.inv(Q)
    found = dense_spectrum(A)
    off, largest = (found.eigenvalues - 1 / 512).abs(), found.eigenvalues.abs().max()
    assert (off <= found.errors * largest).all()
    assert bool((off > 1e-9).any()) == hidden  # as much as that, with residuals of 1e-15
    assert found.residuals.max() * largest < 1e-13


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_the_errors_of_eigenvalues_that_rounding_leaves_alone_are_small(sign: float) -> None:
    A = torch.randn(2, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = dense_spectrum(A + sign * A.mT)
    assert found.errors.max() < 1e-9 and (found.status == 0).all()
    exact = torch.linalg.eigvals(A + sign * A.mT)
    assert (found.eigenvalues.unsqueeze(-1) - exact.unsqueeze(-2)).abs().amin(-1).max() < 1e-12
