"""Update maps of every method: published radii, measured rates, and the derivative of an inner solve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel, unravel
from counterplay.core.solver import inner_solve
from counterplay.core.spectra.update_map import UpdateMap

from ..papers.test_targets import ARENAS as QUADRATICS
from ..papers.test_targets import moved_by, norms_of, rate, zero
from ..support.arenas import arena
from ..support.cases import F64, close, eigenvalues, generator, one_step, radius

# ------------------------------------------------------------------------------- update maps: the bilinear game, rates


def optimistic(q):
    """The roots of mu^2 - (1 - 2 i q) mu - i q = 0."""
    return max(abs(complex(z)) for z in np.roots([1, -(1 - 2j * q), -1j * q]))


BILINEAR = [
    ("simgd", {}, lambda q, eta: math.hypot(1, q), 1.0198, 1.1662),
    ("lcgd", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("la", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("extragradient", {}, lambda q, eta: abs(1 - q * q + 1j * q), 0.9806, 0.8773),
    ("sga", {"strength": 1.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
    ("conopt", {"gamma": 1.0}, lambda q, eta: abs(1 - q * q / eta + 1j * q), 0.8246, 1.0),
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


def half(q, eta):
    """One of the two has 1 - eta alpha^2 on its diagonal: mu^2 - (2 - s) mu + 1 - s + q^2 = 0 with s = q^2 / eta."""
    s = q * q / eta
    return max(abs(complex(z)) for z in np.roots([1, -(2 - s), 1 - s + q * q]))


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize(("name", "options", "form", "one", "three"), BILINEAR, ids=[row[0] for row in BILINEAR])
def test_radius_on_the_bilinear_game(name, options, form, one, three, alpha):
    """alpha xy, eta = .2. ogda's map is one of (theta, last v)."""
    rho = radius(moved_by(cp.make("game", "bilinear", alpha=alpha), name, lr=0.2, **options))
    assert rho == pytest.approx(form(0.2 * alpha, 0.2), abs=1e-9)
    assert rho == pytest.approx(one if alpha == 1 else three, abs=6e-5)


def test_at_strong_coupling_only_cgd_converges():
    """CGD paper, alpha = 6, eta = .2, of the methods compared there; implicit Euler, not among them, is cgd."""
    game = cp.make("game", "bilinear", alpha=6.0)
    compared = [("simgd", {}), ("lcgd", {}), ("sga", {}), ("conopt", {"gamma": 1.0}), ("ogda", {})]
    assert min(radius(moved_by(game, name, lr=0.2, **options)) for name, options in compared) > 1.1
    cgd, implicit = (moved_by(game, name, lr=0.2) for name in ("cgd", "implicit-euler"))
    assert radius(cgd) < 0.7
    close(cgd, implicit)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (5, 0.5), (6, 0.3)])
def test_lookahead_minmax_tames_a_rotation(k, alpha):
    """The map of a period on the bilinear game: 1 - alpha + alpha (1 + iq)^k, where simgd alone diverges."""
    q = 0.2
    F = moved_by(cp.make("game", "bilinear"), "lookahead-minmax", lr=q, k=k, alpha=alpha)
    mu = 1 - alpha + alpha * (1 + 1j * q) ** k
    found = [z for z in eigenvalues(F).tolist() if abs(z) > 1e-9]
    assert sorted(abs(z) for z in found) == pytest.approx([abs(mu)] * 2, abs=1e-9)
    assert (abs(mu) < 1) == (k > 1)


def test_a_period_within_a_period():
    """Returns every 3 steps around returns every 2: two periods are F' twice."""
    game, within = cp.make("game", "bilinear"), {"name": "lookahead-minmax", "k": 2, "lr": 0.3}
    solver = cp.make("solver", "lookahead-minmax", solver=within, k=3)
    F = cp.update_jacobian(game, solver, zero(game))[:2, :2]
    start = game.init(generator())
    after = cp.run(game, solver, steps=2 * solver.period, start=start).params
    close(ravel(after), F @ F @ ravel(start))


CONVERGING = [
    ("past-extragradient", {"lr": 0.08}),
    ("past-extragradient", {"lr": 0.05, "rule": {"name": "momentum", "beta": -0.2}}),
    ("ogda", {"lr": 0.08}),
    ("ogda", {"lr": {"x": 0.03, "y": 0.1}}),
    ("reg-generator-only", {"lr": 0.05, "gamma": 0.2}),
    ("reg-discriminator-only", {"lr": 0.05, "gamma": 0.2}),
    ("adversarial-extrapolation", {"lr": 0.05, "gamma": 0.3}),
    ("implicit-euler", {"lr": 0.2}),
    ("lcgd", {"lr": 0.1}),
    ("sga", {"lr": 0.1, "strength": 0.5}),
    ("la", {"lr": 0.1}),
    ("lola", {"lr": 0.08}),
    ("lola", {"lr": 0.08, "opponent_lr": 0.1, "exact": True}),
    ("sos", {"lr": 0.1}),
    ("stackelberg", {"lr": 0.1}),
    ("follow-the-ridge", {"lr": {"x": 0.01, "y": 0.2}}),
    ("unrolled", {"lr": 0.1, "k": 3}),
    ("hamiltonian", {"lr": 0.02}),
    ("hamiltonian", {"lr": 0.01, "rule": {"name": "momentum", "beta": 0.5}}),
    ("lookahead-minmax", {"lr": 0.1, "k": 3}),
    ("lookahead-minmax", {"solver": {"name": "ogda", "lr": 0.08}, "k": 2, "alpha": 0.7}),
    ("altgd", {"lr": 0.1, "rule": {"name": "momentum", "beta": -0.3}}),
]


@pytest.mark.parametrize(("name", "options"), CONVERGING, ids=[f"{n}-{k}" for k, (n, _) in enumerate(CONVERGING)])
def test_a_run_converges_at_the_rate_of_its_update_map(name, options):
    """The measured slope against log rho(F'), from both sides; per period for a solver that has one."""
    kind, numbers = QUADRATICS["contracts"]
    game, solver = cp.make("game", kind, **numbers), cp.make("solver", name, **options)
    F = cp.update_jacobian(game, solver, zero(game))
    tiny = 1e-3 if name == "sos" else 1.0  # where its shaping has faded out
    start = {i: {"value": torch.full((1,), tiny, dtype=F64)} for i in game.players}
    period = solver.period
    norms = norms_of(game, solver, 120 * period, start=start)[period - 1 :: period]
    slope = rate(norms, F, 40)
    assert radius(F) < 0.999
    assert slope == pytest.approx(math.log(radius(F)), rel=5e-3, abs=2e-5)


# -------------------------------------------------------------------------- inner solves, differentiated as solves


@pytest.mark.parametrize("sizes", [(2, 3), (2, 1, 2)], ids=["two players", "three players"])
@pytest.mark.parametrize("where", ["equilibrium", "elsewhere"])
@pytest.mark.parametrize("name", ["implicit-euler", "stackelberg", "follow-the-ridge"])
def test_a_matrix_free_solve_has_the_derivative_of_the_dense_one(name, where, sizes, monkeypatch):
    """Through the implicit function, with no matrix in sight, on a bent game; also where the solve takes no step."""
    a = arena(sizes, 30, curvature=5.0, shift=False, bend=0.7)
    params, lr = unravel(a.theta * (where == "elsewhere"), a.params), [0.2, 0.5, 0.3][: len(sizes)]
    options, eye = {"lr": a.named(lr), "tol": 1e-13}, torch.eye(5, dtype=F64)
    plain = cp.make("solver", name, method="dense", **options)
    dense = cp.update_jacobian(a.game, plain, params)
    if where == "equilibrium":
        close(dense, at_equilibrium(name, LocalGame.of(a.game, params, {}), sizes[0], a.rows(lr)), 1e-9)
    h = 1e-4
    for n, e in enumerate(eye):
        up, down = (ravel(one_step(a.game, plain, unravel(ravel(params) + s * h * e, params))) for s in (1, -1))
        close(dense[:, n], (up - down) / (2 * h), 1e-6)
    monkeypatch.setattr(inner_solve, "DENSE_DERIVATIVE", 0)
    monkeypatch.setattr(inner_solve, "dense", None)
    symmetric = name != "implicit-euler" and len(sizes) == 2  # one follower: J_FF is its Hessian
    for method in ("gmres", "cg") if symmetric else ("gmres",):
        F = UpdateMap(a.game, cp.make("solver", name, method=method, **options), params, None, {})
        _, pull = torch.func.vjp(F, F.vector((params, plain.init(a.game, params))))
        close(torch.stack([pull(e)[0] for e in eye]), dense, 1e-8)


def at_equilibrium(name, local, m, eta):
    """I - eta times the derivative of the method's field, where v = 0 (the derivative of J drops out)."""
    J = local.jacobian().dense()
    eye, D = torch.eye(len(J), dtype=F64), torch.diag(eta)
    if name == "implicit-euler":
        return torch.linalg.inv(eye + D @ J)
    r = -torch.linalg.solve(J[m:, m:], J[m:, :m])
    if name == "follow-the-ridge":
        along = torch.cat([J[:m], J[m:] + torch.linalg.inv(D[m:, m:]) @ r @ D[:m, :m] @ J[:m]])
        return eye - D @ along
    # grad_F l_1 vanishes there, too (no linear terms), and its derivative is the Hessian of l_1.
    H = torch.func.jacrev(lambda x: ravel(local.at(unravel(x, local.params)).loss_gradient(local.players[0])))(
        ravel(local.params)
    )
    return eye - D @ torch.cat([J[:m] + r.T @ H[m:], J[m:]])
