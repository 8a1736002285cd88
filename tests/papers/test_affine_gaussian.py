"""Spectra of the affine Gaussian GAN. Everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import cmath

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, eigenvalues, radius, same_spectrum, started


def factors(spectrum):
    """zeta = max |Im / Re| (phase), tau = max |lambda| / min |lambda| (conditioning), and Lemma 4's bound."""
    size = spectrum.abs()
    return (
        float((spectrum.imag / spectrum.real).abs().max()),
        float(size.max() / size.min()),
        float((2 * spectrum.real / size**2).min()),
    )


def affine_gaussian(name, **options):
    """The spectrum of a method's field at the equilibrium, (I - F') / eta."""
    game = cp.make("game", "affine-gaussian", exact=True)
    params = {"generator": {"value": game.target}, "discriminator": {"value": torch.zeros(2, dtype=F64)}}
    table, _, batch = started(game)
    v = LocalGame.of(table, params, batch).gradient()
    assert float(ravel(v).abs().max()) < 1e-14, "that is the equilibrium"
    F = cp.update_jacobian(game, cp.make("solver", name, lr=0.5, **options), params, batch=batch)
    return (torch.eye(4, dtype=F64) - F) / 0.5


def closed_form(mu, variance, gamma):
    """JARE, Theorems 1 and 3: lambda^2 - (b + gamma)/2 lambda + (gamma^2 + 4)/16 = 0 with b = sigma^2, sigma^2 + mu^2.

    Derived: J = [[0, P], [-P, Q]] with P = -1/2, Q = b/2 along and across the mean; J + gamma J_off^T J is
    [[gamma P^2, P - gamma P Q], [-P, Q + gamma P^2]], of trace Q + 2 gamma P^2 and determinant gamma^2 P^4 + P^2.
    """
    out = []
    for b in (variance, variance + mu**2):
        p, q = (b + gamma) / 2, (gamma**2 + 4) / 16
        root = cmath.sqrt(p * p / 4 - q)
        out += [p / 2 + root, p / 2 - root]
    return out


def test_spectrum_of_the_affine_gaussian_gan():
    J = affine_gaussian("simgd")
    same_spectrum(J, [0.01 + 0.4999j, 0.01 - 0.4999j, 0.031294, 7.988706], 1e-6)
    zeta, tau, step = factors(eigenvalues(J))
    assert (zeta, tau, step) == (
        pytest.approx(49.99, abs=5e-3),
        pytest.approx(255.3, abs=0.05),
        pytest.approx(0.08, abs=1e-9),
    )


def test_spectrum_of_the_affine_gaussian_gan_under_jare():
    J = affine_gaussian("jare", gamma=10.0)
    same_spectrum(J, [2.51 + 0.447102j, 2.51 - 0.447102j, 0.52, 12.5], 1e-6)
    zeta, tau, step = factors(eigenvalues(J))
    assert (zeta, tau, step) == (
        pytest.approx(0.178, abs=5e-4),
        pytest.approx(24.04, abs=5e-3),
        pytest.approx(0.16, abs=1e-9),
    )


def test_the_largest_step_of_the_affine_gaussian_gan_is_the_largest():
    """Two-sided: just below eta_max the map contracts, just above it does not."""
    for name, options, bound in [("simgd", {}, 0.08), ("jare", {"gamma": 10.0}, 0.16)]:
        M = affine_gaussian(name, **options)
        eye = torch.eye(4, dtype=F64)
        assert radius(eye - 0.999 * bound * M) < 1 < radius(eye - 1.001 * bound * M)


@pytest.mark.parametrize(("mu", "variance", "gamma"), [(4.0, 0.04, 0.0), (4.0, 0.04, 10.0), (1.0, 0.5, 3.0)])
def test_spectrum_of_the_affine_gaussian_gan_in_closed_form(mu, variance, gamma):
    game = cp.make("game", "affine-gaussian", exact=True, mean=mu, variance=variance)
    params = {"generator": {"value": game.target}, "discriminator": {"value": torch.zeros(2, dtype=F64)}}
    _, _, batch = started(game)
    F = cp.update_jacobian(game, cp.make("solver", "jare", gamma=gamma, lr=1.0), params, batch=batch)
    same_spectrum(torch.eye(4, dtype=F64) - F, closed_form(mu, variance, gamma), 1e-9)


def test_the_exact_affine_gaussian_is_what_samples_tend_to():
    """Loss and gradient of 200,000 samples, within their sampling error; the integral is smooth at theta = 0."""
    exact = cp.make("game", "affine-gaussian", exact=True)
    sampled = cp.make("game", "affine-gaussian", batch=200_000)
    params = {
        "generator": {"value": torch.tensor([0.3, 3.5], dtype=F64)},
        "discriminator": {"value": torch.tensor([0.4, -0.2], dtype=F64)},
    }
    found = []
    for game in (exact, sampled):
        table, _, batch = started(game)
        local = LocalGame.of(table, params, batch)
        found.append(torch.cat([ravel(local.gradient()), torch.stack(list(local.losses().values()))]))
    assert float((found[0] - found[1]).abs().max()) < 5e-3
    finer = started(cp.make("game", "affine-gaussian", exact=True, nodes=40))
    close(ravel(LocalGame.of(finer[0], params, finer[2]).gradient()), found[0][:4], 1e-12)


def test_conopt_and_jare_on_the_affine_gaussian_gan():
    """JARE Fig. 1 in its linearisation: conopt removes the phase factor and slows the slowest mode; jare does not."""
    slowest = {}
    for name, options in [("simgd", {}), ("conopt", {"gamma": 10.0}), ("jare", {"gamma": 10.0})]:
        spectrum = eigenvalues(affine_gaussian(name, **options))
        slowest[name] = (factors(spectrum)[0], factors(spectrum)[1])
    assert slowest["simgd"][0] > 40 and slowest["conopt"][0] < 0.3 and slowest["jare"][0] < 0.3
    assert slowest["conopt"][1] > slowest["simgd"][1] > slowest["jare"][1]
