"""Each method's direction against its formula, written out from the paper that proposed it, in every setting it has."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, like, ravel, unravel

from ..support.arenas import SIZES, arena, every_game, formulas
from ..support.cases import F64, SmoothGan, close, close_trees, member, one_step, started


@every_game
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_directions_are_their_formulas(sizes, opposed, seed):
    """Every option and the step size set per player."""
    a = arena(sizes, seed, opposed)
    lr = [0.03 * (n + 1) for n in range(len(sizes))]
    eta = a.rows(lr)
    for name, options, direction in formulas(a, eta, [0.2 + 0.3 * n for n in range(len(sizes))], len(sizes)):
        found = one_step(a.game, cp.make("solver", name, lr=a.named(lr), **options), a.params)
        close(ravel(found), a.theta - eta * direction, 1e-9)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_an_option_per_member_is_that_member_s(sizes):
    """Numbers per member and per player, in one run and alone."""
    a, n = arena(sizes, 4), len(sizes)
    table, many, _ = started(a.game, members=3)
    lr = [[0.01, 0.05, 0.002], [0.02, 0.03, 0.2], [0.04, 0.01, 0.03]][:n]
    rows = [[0.3, 0.0, 2.0], [0.1, 0.5, 0.7], [1.0, 0.2, 0.4]][:n]
    stand_in = [float(i) for i in range(n)]
    kinds = [(name, options) for name, options, _ in formulas(a, a.rows([1.0] * n), stand_in, n)]
    for name, options in [*kinds, ("implicit-euler", {})]:

        def solver(m, name=name, options=options):
            pick = lambda given: a.named(given if m is None else [row[m] for row in given])  # noqa: E731
            own = {k: pick(rows) if g == a.named(stand_in) else g for k, g in options.items()}
            return cp.make("solver", name, lr=pick(lr), **own)

        kept = solver(None).init(table, many)
        found, _, info = solver(None).step(table, many, kept, lambda: {})
        assert all(x.shape == (3,) for x in info.inner.values())
        for m in range(3):
            close_trees(member(found, m), one_step(a.game, solver(m), member(many, m)), 1e-9)


@pytest.mark.parametrize("name", ["lcgd", "sga", "lola", "stackelberg", "adversarial-extrapolation", "hamiltonian"])
def test_a_step_rule_sees_the_direction(name):
    """Negative momentum over three steps: m = beta m + d, theta - eta m, with d what sgd steps along."""
    a, eta, beta = arena((2, 2), 11, curvature=2.0), 0.05, -0.4
    options = {"opponent_lr": 0.1} if name == "lola" else {}
    plain = cp.make("solver", name, lr=eta, **options)
    solver = cp.make("solver", name, lr=eta, rule={"name": "momentum", "beta": beta}, **options)
    x, m = a.params, torch.zeros_like(a.theta)
    for _ in range(3):
        m = beta * m + (ravel(x) - ravel(one_step(a.game, plain, x))) / eta
        x = unravel(ravel(x) - eta * m, x)
    close_trees(cp.run(a.game, solver, steps=3, start=a.params).params, x, 1e-11)


def test_every_method_stays_at_an_equilibrium_with_nothing_remembered():
    """A game without linear terms, at 0; also with an iterative solve."""
    a = arena((2, 2), 32, curvature=3.0, shift=False, bend=0.4)
    rest = unravel(torch.zeros(4, dtype=F64), a.params)
    for name, options, _ in formulas(a, a.rows([0.1, 0.1]), [0.2, 0.2], 2):
        for method in ("dense", "gmres") if name in ("stackelberg", "follow-the-ridge") else (None,):
            given = options if method is None else {**options, "method": method}
            after = one_step(a.game, cp.make("solver", name, lr=0.1, **given), rest)
            assert not ravel(after).any(), name


def test_jare_is_half_the_squared_gradient_of_the_others():
    """v_i + gamma/2 grad_i ||v_j||^2, by plain autograd on a nonlinear general-sum game: the half belongs there."""
    game = SmoothGan()
    table, params, batch = started(game)
    gamma = 0.8
    own = like(params, [x.clone().requires_grad_() for x in leaves(params)])
    losses = game.losses(own, batch)
    g, d = (own[i] for i in game.players)
    v_g = torch.autograd.grad(losses["generator"], list(g.values()), create_graph=True)
    v_d = torch.autograd.grad(losses["discriminator"], list(d.values()), create_graph=True)
    half = {
        "generator": torch.stack([(x * x).sum() for x in v_d]).sum() / 2,
        "discriminator": torch.stack([(x * x).sum() for x in v_g]).sum() / 2,
    }
    expected = {}
    for i, tree, v in (("generator", g, v_g), ("discriminator", d, v_d)):
        more = torch.autograd.grad(half[i], list(tree.values()), retain_graph=True, allow_unused=True)
        zipped = zip(tree, v, more, strict=True)
        expected[i] = {k: (a if b is None else a + gamma * b).detach() for k, a, b in zipped}
    found = cp.make("solver", "jare", gamma=gamma).direction(LocalGame.of(table, params, batch))
    close_trees(found, expected)
