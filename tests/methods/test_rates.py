"""Measured rates of runs against rho(F') of every method, and F' against steps on basis vectors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, matrix_game, radius, random
from ..support.rates import moved_by, norms_of, rate, zero

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


def test_a_random_affine_game_moves_as_its_matrix_says():
    """Every solver whose map is linear: F' from differentiation against F' from steps on basis vectors."""
    J = random(3, 3, seed=1)
    game = matrix_game(J)
    linear: list[tuple[str, dict[str, Any]]] = [
        ("simgd", {}),
        ("altgd", {"repeats": 2}),
        ("extragradient", {}),
        ("conopt", {"gamma": 0.3}),
        ("jare", {"gamma": 0.3}),
        ("cgd", {"method": "gmres"}),
    ]
    for name, options in linear:
        solver = cp.make("solver", name, lr=0.1, **options)
        columns = []
        for n in range(3):
            params = {f"p{k}": {"value": torch.tensor([float(k == n)], dtype=F64)} for k in range(3)}
            columns.append(ravel(solver.step(game, params, solver.init(game, params), lambda: {})[0]))
        close(moved_by(game, name, lr=0.1, **options), torch.stack(columns, 1), 1e-9)


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
    kind, numbers = ARENAS["contracts"]
    game, solver = cp.make("game", kind, **numbers), cp.make("solver", name, **options)
    F = cp.update_jacobian(game, solver, zero(game))
    tiny = 1e-3 if name == "sos" else 1.0  # where its shaping has faded out
    start = {i: {"value": torch.full((1,), tiny, dtype=F64)} for i in game.players}
    period = solver.period
    norms = norms_of(game, solver, 120 * period, start=start)[period - 1 :: period]
    slope = rate(norms, F, 40)
    assert radius(F) < 0.999
    assert slope == pytest.approx(math.log(radius(F)), rel=5e-3, abs=2e-5)
