"""Closed forms and published figures, in the sign where everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel

from ..support.cases import (
    F64,
    close,
    eigenvalues,
    generator,
    jacobian,
    matrix_game,
    property_test,
    radius,
    random,
    same_spectrum,
    started,
)


def zero(game):
    return {i: {k: torch.zeros(x.shape, dtype=F64) for k, x in t.items()} for i, t in game.init(generator()).items()}


def moved_by(game, name, params=None, **options):
    return cp.update_jacobian(game, cp.make("solver", name, **options), zero(game) if params is None else params)


# ----------------------------------------------------------------------------------------------------- quadratic game


QUADRATIC = [((0.09, 0.01), 0.96250), ((0.03, 0.03), 1.04231), ((0.01, 0.09), 1.11642)]


@pytest.mark.parametrize(("lr", "rho"), QUADRATIC)
def test_radius_of_simgd_on_the_quadratic_game(lr, rho):
    """F' = I - diag(eta) [[2, 10], [-10, -2]]."""
    F = moved_by(cp.make("game", "quadratic"), "simgd", lr=dict(zip("xy", lr, strict=True)))
    J = torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64)
    close(F, torch.eye(2, dtype=F64) - torch.diag(torch.tensor(lr, dtype=F64)) @ J)
    assert radius(F) == pytest.approx(rho, abs=5e-6)


def test_jacobian_of_the_quadratic_game():
    """x^2 + 10 xy + y^2: y climbs it, so its own curvature is -2 and the origin is the worst point for y alone."""
    game = cp.make("game", "quadratic")
    close(jacobian(game, zero(game)), torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64))
    same_spectrum(jacobian(game, zero(game)), [96**0.5 * 1j, -(96**0.5) * 1j], 1e-12)
    close(LocalGame.of(game, zero(game), {}).jacobian().block("y", "y").dense(), torch.tensor([[-2.0]], dtype=F64))


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.4])
def test_with_x_frozen_y_alone_always_diverges(lr):
    """ICR, section 1: 1 + 2 eta > 1."""
    F = moved_by(cp.make("game", "quadratic"), "simgd", lr={"x": 0.0, "y": lr})
    same_spectrum(F, [1.0, 1 + 2 * lr], 1e-12)


# ------------------------------------------------------------------------------------------------------ bilinear game

RADII = [
    ("simgd", {}, lambda q: math.sqrt(1 + q * q), 1.0198, 1.1662),
    ("extragradient", {}, lambda q: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("conopt", {"gamma": 1.0}, None, 0.8246, 1.0000),
    ("jare", {"gamma": 1.0}, None, 0.8246, 1.0000),
    ("cgd", {}, lambda q: 1 / math.sqrt(1 + q * q), 0.9806, 0.8575),
    ("altgd", {}, lambda q: 1.0, 1.0, 1.0),
]


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize(("name", "options", "form", "one", "three"), RADII, ids=[row[0] for row in RADII])
def test_radius_on_the_bilinear_game(name, options, form, one, three, alpha):
    """alpha xy, eta = .2, gamma = 1. conopt: |1 - eta gamma alpha^2 + i eta alpha|; jare the same."""
    eta = 0.2
    rho = radius(moved_by(cp.make("game", "bilinear", alpha=alpha), name, lr=eta, **options))
    exact = abs(1 - eta * alpha**2 + 1j * eta * alpha) if form is None else form(eta * alpha)
    assert rho == pytest.approx(exact, abs=1e-12)
    assert rho == pytest.approx(one if alpha == 1 else three, abs=5e-5)


@property_test
@given(st.floats(0.1, 5.0), st.floats(0.01, 1.9))
def test_alternating_play_on_the_bilinear_game_has_radius_one(alpha, q):
    """F' = [[1, -q], [q, 1 - q^2]] has determinant 1, and complex eigenvalues while q = eta alpha < 2."""
    F = moved_by(cp.make("game", "bilinear", alpha=alpha), "altgd", lr=q / alpha)
    assert float(torch.linalg.det(F)) == pytest.approx(1, abs=1e-12)
    assert eigenvalues(F).abs().tolist() == pytest.approx([1, 1], abs=1e-9)


def test_at_strong_coupling_only_cgd_converges():
    """CGD paper, alpha = 6, eta = .2; alternating play keeps radius 1."""
    game = cp.make("game", "bilinear", alpha=6.0)
    rho = {name: radius(moved_by(game, name, lr=0.2, **options)) for name, options, *_ in RADII}
    assert rho["cgd"] < 1 < min(rho["simgd"], rho["extragradient"], rho["conopt"])
    assert rho["altgd"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_more_dimensions_are_copies(dimension):
    game = cp.make("game", "bilinear", alpha=3.0, dimension=dimension)
    for name, options, *_ in RADII:
        one = radius(moved_by(cp.make("game", "bilinear", alpha=3.0), name, lr=0.2, **options))
        assert radius(moved_by(game, name, lr=0.2, **options)) == pytest.approx(one, abs=1e-8), name


# ---------------------------------------------------------------------------------------------------------- Dirac-GAN


@pytest.mark.parametrize(("loss", "strength"), [("saturating", 0.5), ("non-saturating", 0.5), ("wgan", 1.0)])
def test_spectrum_of_the_dirac_gan(loss, strength):
    """J = [[0, f'(0)], [-f'(0), 0]]: f' = sigma(0) = 1/2 for cross entropy, 1 for wgan. No curvature at 0."""
    game = cp.make("game", "dirac-gan", loss=loss)
    table, _, batch = started(game)
    same_spectrum(jacobian(table, zero(game), batch), [strength * 1j, -strength * 1j], 1e-12)
    h = 0.3
    F = cp.update_jacobian(game, cp.make("solver", "simgd", lr=h), zero(game), batch=batch)
    assert radius(F) == pytest.approx(math.sqrt(1 + (strength * h) ** 2), abs=1e-12)


@pytest.mark.parametrize(
    ("gamma", "figures"),
    [(0.3, [0.15 + 0.47697j, 0.15 - 0.47697j]), (1.0, [0.5, 0.5]), (2.0, [0.13397, 1.86603])],
)
@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_spectrum_of_the_dirac_gan_under_r1(gamma, figures, loss):
    """R1 adds gamma/2 theta^2 to D, so gamma to its curvature: lambda^2 - gamma lambda + 1/4 = 0."""
    game = cp.make("game", "dirac-gan", loss=loss)
    table, _, batch = started(regularized(game, cp.make("regularizer", "r1", gamma=gamma)))
    J = jacobian(table, zero(game), batch)
    root = cmath.sqrt(gamma**2 / 4 - 0.25)
    same_spectrum(J, [gamma / 2 + root, gamma / 2 - root], 2e-8)  # a double eigenvalue moves by the root of rounding
    same_spectrum(J, figures, 6e-6)


# --------------------------------------------------------------------------------------------- affine Gaussian GAN


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


# --------------------------------------------------------------- The numerics of GANs: lemmas over random matrices


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


# ------------------------------------------------------------------------- two-sided rates: the run against rho(F')

ARENAS = {
    "contracts": ("quadratic", {"a": 1.0, "b": 3.0, "c": -0.5}),
    "expands": ("quadratic", {"a": 0.2, "b": 4.0, "c": 0.1}),
}
METHODS = [
    ("simgd", {"lr": 0.1}),
    ("simgd", {"lr": {"x": 0.15, "y": 0.02}}),
    ("simgd", {"lr": 0.05, "rule": {"name": "momentum", "beta": 0.6}}),
    ("simgd", {"lr": 0.05, "rule": {"name": "momentum", "beta": -0.3, "nesterov": True}}),
    ("altgd", {"lr": 0.1}),
    ("altgd", {"lr": 0.02, "repeats": {"y": 4}}),
    ("extragradient", {"lr": 0.1}),
    ("conopt", {"lr": 0.05, "gamma": 0.3}),
    ("jare", {"lr": 0.05, "gamma": 0.3}),
    ("cgd", {"lr": 0.2}),
    ("acgd", {"lr": 0.1, "eps": 1.0}),
]


def rate(norms, F, skip=0):
    """The slope of log norm over the steps after ``skip``, by regression on k and on the beat of the leading pair.

    Along a pair r e^{+-i phi} the norm is r^k times a function of 2 phi k: its first harmonics are fitted too.
    """
    k = np.arange(skip, len(norms))
    phi = cmath.phase(max(eigenvalues(F).tolist(), key=abs))
    beat = [f(2 * n * phi * k) for n in range(1, 5) for f in (np.cos, np.sin)]
    columns = np.stack([k - k.mean(), np.ones(len(k)), *beat], axis=1)
    return float(np.linalg.lstsq(columns, np.log(norms[skip:]), rcond=None)[0][0])


def norms_of(game, solver, steps, **options):
    norms = []
    cp.run(
        game,
        solver,
        steps=steps,
        trace=False,
        observers=[lambda seen: norms.append(math.hypot(*seen.figures.parameter_norms))],
        **options,
    )
    return norms


@pytest.mark.parametrize(("name", "options"), METHODS, ids=[f"{n}-{k}" for k, (n, _) in enumerate(METHODS)])
@pytest.mark.parametrize("arena", ["contracts", "expands"])
def test_a_run_shrinks_or_grows_at_the_rate_of_its_update_map(name, options, arena):
    """A measured rate against log rho(F'), from both sides. acgd's second moment is of second order in theta: it
    starts close to 0, and theta's own block decides."""
    game = cp.make("game", ARENAS[arena][0], **ARENAS[arena][1])
    solver = cp.make("solver", name, **options)
    F = cp.update_jacobian(game, solver, zero(game))
    F = F[:2, :2] if name == "acgd" else F
    start = {i: {"value": torch.full((1,), 1e-60 if name == "acgd" else 1.0, dtype=F64)} for i in game.players}
    slope, expected = rate(norms_of(game, solver, 200, start=start), F, 40), math.log(radius(F))
    assert abs(expected) > 1e-3 and (slope < 0) == (expected < 0)
    assert slope == pytest.approx(expected, rel=5e-3, abs=2e-5)


@pytest.mark.parametrize(("lr", "rho"), QUADRATIC)
def test_the_quadratic_game_s_three_fates(lr, rho):
    """ICR Fig. 3: (.09, .01) converges, (.03, .03) diverges slowly, (.01, .09) quickly; all at their own rate."""
    solver = cp.make("solver", "simgd", lr=dict(zip("xy", lr, strict=True)))
    game = cp.make("game", "quadratic")
    slope = rate(norms_of(game, solver, 300), cp.update_jacobian(game, solver, zero(game)))
    assert math.exp(slope) == pytest.approx(rho, abs=2e-5)


def test_a_nonlinear_game_converges_at_the_rate_of_its_fixed_point():
    """NUM, Prop. 3: near the equilibrium of the regularised Dirac-GAN the error shrinks by rho(F') a step."""
    game = cp.make("game", "dirac-gan", loss="non-saturating")
    r1 = cp.make("regularizer", "r1", gamma=0.3)
    solver = cp.make("solver", "simgd", lr=0.2)
    F = cp.update_jacobian(regularized(game, r1), solver, zero(game))
    slope = rate(norms_of(game, solver, 400, regularizers=[r1]), F, 250)
    assert radius(F) < 1 and slope == pytest.approx(math.log(radius(F)), rel=1e-3)


def test_conopt_and_jare_on_the_affine_gaussian_gan():
    """JARE Fig. 1 in its linearisation: conopt removes the phase factor and slows the slowest mode; jare does not."""
    slowest = {}
    for name, options in [("simgd", {}), ("conopt", {"gamma": 10.0}), ("jare", {"gamma": 10.0})]:
        spectrum = eigenvalues(affine_gaussian(name, **options))
        slowest[name] = (factors(spectrum)[0], factors(spectrum)[1])
    assert slowest["simgd"][0] > 40 and slowest["conopt"][0] < 0.3 and slowest["jare"][0] < 0.3
    assert slowest["conopt"][1] > slowest["simgd"][1] > slowest["jare"][1]


def test_a_random_affine_game_moves_as_its_matrix_says():
    """Every solver whose map is linear: F' from differentiation against F' from steps on basis vectors."""
    J = random(3, 3, seed=1)
    game = matrix_game(J)
    for name, options in [
        ("simgd", {}),
        ("altgd", {"repeats": 2}),
        ("extragradient", {}),
        ("conopt", {"gamma": 0.3}),
        ("jare", {"gamma": 0.3}),
        ("cgd", {"method": "gmres"}),
    ]:
        solver = cp.make("solver", name, lr=0.1, **options)
        columns = []
        for n in range(3):
            params = {f"p{k}": {"value": torch.tensor([float(k == n)], dtype=F64)} for k in range(3)}
            columns.append(ravel(solver.step(game, params, solver.init(game, params), lambda: {})[0]))
        close(moved_by(game, name, lr=0.1, **options), torch.stack(columns, 1), 1e-9)
