"""The lemmas of The numerics of GANs, over random matrices. Everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import cmath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import counterplay as cp

from ..support.cases import F64, close, eigenvalues, matrix_game, property_test, radius, same_spectrum
from ..support.rates import moved_by


def matrices(n, **kwargs):
    entry = st.floats(-2, 2).map(lambda x: round(x, 3))
    return st.lists(entry, min_size=n * n, max_size=n * n).map(lambda x: torch.tensor(x, dtype=F64).reshape(n, n))


def semidefinite(B, K, least=0.05):
    """A matrix whose symmetric part is positive semi-definite: B B^T + least + skew part of K."""
    return B @ B.T + least * torch.eye(len(B), dtype=F64) + (K - K.T)


@property_test
@given(matrices(3), matrices(3), st.sampled_from([0.98, 1.02]))
def test_lemma_4_bounds_the_step_on_both_sides(B, K, side):
    """I - h J lies in the unit ball iff h < 2 Re/|lambda|^2 for all lambda, if all Re lambda > 0."""
    J = semidefinite(B, K)
    spectrum = eigenvalues(J)
    bound = float((2 / spectrum.real / (1 + (spectrum.imag / spectrum.real) ** 2)).min())
    game = matrix_game(J)
    assert (radius(moved_by(game, "simgd", lr=side * bound)) < 1) == (side < 1)


@property_test
@given(matrices(3), matrices(3), st.floats(0.1, 10.0))
def test_lemma_9_consensus_turns_the_spectrum_to_the_real_axis(B, K, gamma):
    """max |Im/Re| of J + gamma J^T J is at most 1 / (c + 2 rho^2 gamma / ||J - J^T||).

    Derived from (32): |Im/Re| = |v*(J - J^T)v| / (|v*(J + J^T)v| + 2 gamma |Jv|^2). The printed bound (18) leaves
    out ||J - J^T||, that is, it holds where this norm is at most 1.
    """
    J = semidefinite(B, K)
    skew = J - J.T
    size = float(torch.linalg.matrix_norm(skew, 2))
    if size < 1e-3:
        return
    game, eta = matrix_game(J), 1e-3
    M = (torch.eye(3, dtype=F64) - moved_by(game, "conopt", lr=eta, gamma=gamma)) / eta
    close(M, J + gamma * J.T @ J, 1e-9)
    spectrum = eigenvalues(M)
    q = float((spectrum.imag / spectrum.real).abs().max())
    H = (J + J.T).numpy()
    c = 1 / np.abs(np.linalg.eigvals(np.linalg.solve(H, 1j * skew.numpy()))).max()
    rho = float(torch.linalg.svdvals(J).min())
    assert q <= (1 + 1e-6) / (c + 2 * rho**2 * gamma / size)
    if size <= 1:
        assert q <= (1 + 1e-6) / (c + 2 * rho**2 * gamma)


def test_lemma_9_as_printed_fails_for_a_strong_rotation():
    k, e, gamma = 5.0, 0.1, 1.0
    M = torch.eye(2, dtype=F64) - moved_by(
        matrix_game(torch.tensor([[e, k], [-k, e]], dtype=F64)), "conopt", lr=1.0, gamma=gamma
    )
    spectrum = eigenvalues(M)
    q = float((spectrum.imag / spectrum.real).abs().max())
    assert q == pytest.approx(k / (e + gamma * (e**2 + k**2)))
    assert q > 1 / (e / k + 2 * gamma * (e**2 + k**2)), "the printed bound"
    assert q <= 1 / (e / k + 2 * gamma * (e**2 + k**2) / (2 * k)) + 1e-12, "the derived one"


@property_test
@given(matrices(3), st.floats(-0.9, 0.95), st.floats(0.01, 0.5))
def test_lemma_11_momentum_doubles_the_spectrum(J, beta, eta):
    """G = (m, -v' - friction m) has eigenvalue lambda iff lambda (lambda + friction) is one of -J.

    Our step m+ = beta m + v, theta+ = theta - eta m+ is that statement for F': mu^2 - (1 + beta - eta lambda) mu +
    beta = 0 for each eigenvalue lambda of J.
    """
    F = moved_by(matrix_game(J), "simgd", lr=eta, rule={"name": "momentum", "beta": beta})
    expected = []
    for lam in eigenvalues(J).tolist():
        half = (1 + beta - eta * lam) / 2
        root = cmath.sqrt(half * half - beta)
        expected += [half + root, half - root]
    same_spectrum(F, expected, 1e-4)  # a random matrix may be close to defective


@property_test
@given(matrices(3), st.floats(0.1, 3.0))
def test_lemma_11_in_continuous_time(J, friction):
    """The same with (36) itself: both directions of "if and only if"."""
    eye, none = torch.eye(3, dtype=F64), torch.zeros(3, 3, dtype=F64)
    G = torch.cat([torch.cat([none, eye], 1), torch.cat([-J, -friction * eye], 1)])
    squared = [z * (z + friction) for z in eigenvalues(G).tolist()]
    for z in eigenvalues(-J).tolist():
        assert sum(abs(w - z) < 1e-3 for w in squared) >= 2
    for w in squared:
        assert min(abs(w - z) for z in eigenvalues(-J).tolist()) < 1e-3


@property_test
@given(matrices(3), st.floats(0.05, 0.95), st.floats(0.05, 2.0), st.floats(0.01, 0.5))
def test_proposition_13_rescaling_is_a_change_of_step_size(J, alpha, eps, eta):
    """At v = 0, s = 0 the map's spectrum is that of I - eta/eps J together with alpha: here for each number its own s,
    and eps added to the root where (40) has it inside."""
    rule = {"name": "rmsprop", "alpha": alpha, "eps": eps}
    F = moved_by(matrix_game(J), "simgd", lr=eta, rule=rule)
    eye = torch.eye(3, dtype=F64)
    close(F, torch.block_diag(eye - eta / eps * J, alpha * eye), 1e-10)


@pytest.mark.parametrize("friction", [-0.5, 0.0, 0.5])
def test_negative_momentum_helps_where_momentum_harms(friction):
    """Corollary 12 breaks down for complex eigenvalues: on the bilinear game beta > 0 is worse, alternating or not."""
    game = cp.make("game", "bilinear")
    rho = radius(moved_by(game, "altgd", lr=0.5, rule={"name": "momentum", "beta": friction}))
    assert (rho < 1 - 1e-6, rho > 1 + 1e-6) == (friction < 0, friction > 0)
