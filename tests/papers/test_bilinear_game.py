"""Published radii of update maps on the bilinear game. Everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import counterplay as cp

from ..support.cases import close, eigenvalues, property_test, radius
from ..support.rates import moved_by


def optimistic(q):
    """The roots of mu^2 - (1 - 2 i q) mu - i q = 0."""
    return max(abs(complex(z)) for z in np.roots([1, -(1 - 2j * q), -1j * q]))


def half(q, eta):
    """One of the two has 1 - eta alpha^2 on its diagonal: mu^2 - (2 - s) mu + 1 - s + q^2 = 0 with s = q^2 / eta."""
    s = q * q / eta
    return max(abs(complex(z)) for z in np.roots([1, -(2 - s), 1 - s + q * q]))


BILINEAR = [
    ("simgd", {}, lambda q, eta: math.hypot(1, q), 1.0198, 1.1662),
    ("altgd", {}, lambda q, eta: 1.0, 1.0, 1.0),
    ("lcgd", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("la", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("extragradient", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("sga", {"strength": 1.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("conopt", {"gamma": 1.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("jare", {"gamma": 1.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("lola", {"opponent_lr": 0.5}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("adversarial-extrapolation", {"gamma": 2.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("hamiltonian", {}, lambda q, eta: abs(1 - q * q / eta), 0.8, 0.8),
    ("ogda", {}, lambda q, eta: optimistic(q), 0.9789, 1.0574),
    ("past-extragradient", {}, lambda q, eta: optimistic(q), 0.9789, 1.0574),
    ("cgd", {}, lambda q, eta: 1 / math.hypot(1, q), 0.9806, 0.8575),
    ("implicit-euler", {}, lambda q, eta: 1 / math.hypot(1, q), 0.9806, 0.8575),
    ("reg-generator-only", {"gamma": 1.0}, lambda q, eta: half(q, eta), 0.9165, 0.7708),
    ("reg-discriminator-only", {"gamma": 1.0}, lambda q, eta: half(q, eta), 0.9165, 0.7708),
]


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize(("name", "options", "form", "one", "three"), BILINEAR, ids=[row[0] for row in BILINEAR])
def test_radius_on_the_bilinear_game(name, options, form, one, three, alpha):
    """alpha xy, eta = .2. ogda's map is one of (theta, last v)."""
    rho = radius(moved_by(cp.make("game", "bilinear", alpha=alpha), name, lr=0.2, **options))
    assert rho == pytest.approx(form(0.2 * alpha, 0.2), abs=1e-12)
    assert rho == pytest.approx(one if alpha == 1 else three, abs=5e-5)


@property_test
@given(st.floats(0.1, 5.0), st.floats(0.01, 1.9))
def test_alternating_play_on_the_bilinear_game_has_radius_one(alpha, q):
    """F' = [[1, -q], [q, 1 - q^2]] has determinant 1, and complex eigenvalues while q = eta alpha < 2."""
    F = moved_by(cp.make("game", "bilinear", alpha=alpha), "altgd", lr=q / alpha)
    assert float(torch.linalg.det(F)) == pytest.approx(1, abs=1e-12)
    assert eigenvalues(F).abs().tolist() == pytest.approx([1, 1], abs=1e-9)


def test_at_strong_coupling_only_cgd_converges():
    """CGD paper, alpha = 6, eta = .2, of the methods compared there; implicit Euler, not among them, is cgd.

    Alternating play keeps radius 1.
    """
    game = cp.make("game", "bilinear", alpha=6.0)
    compared = [
        ("simgd", {}),
        ("extragradient", {}),
        ("lcgd", {}),
        ("sga", {}),
        ("conopt", {"gamma": 1.0}),
        ("ogda", {}),
    ]
    assert min(radius(moved_by(game, name, lr=0.2, **options)) for name, options in compared) > 1.1
    assert radius(moved_by(game, "altgd", lr=0.2)) == pytest.approx(1, abs=1e-12)
    cgd, implicit = (moved_by(game, name, lr=0.2) for name in ("cgd", "implicit-euler"))
    assert radius(cgd) < 0.7
    close(cgd, implicit)


@pytest.mark.parametrize("dimension", [2, 3])
def test_more_dimensions_are_copies(dimension):
    game = cp.make("game", "bilinear", alpha=3.0, dimension=dimension)
    for name, options, *_ in BILINEAR:
        one = radius(moved_by(cp.make("game", "bilinear", alpha=3.0), name, lr=0.2, **options))
        assert radius(moved_by(game, name, lr=0.2, **options)) == pytest.approx(one, abs=1e-8), name
