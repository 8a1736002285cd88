"""Opponent shaping, adjustments and leadership: what each method is known to do, and where methods are one another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import leaves, ravel, unravel

from ..support.arenas import SIZES, arena, every_game, order, response
from ..support.cases import F64, close, close_trees, generator, matrix_game, one_step, radius, same_spectrum
from ..support.rates import moved_by


def direction(name: str, local: LocalGame, **options: Any) -> cp.Params:
    solver: Any = cp.make("solver", name, **options)
    found: cp.Params = solver.direction(local)
    return found


def test_exact_lola_is_the_gradient_of_the_look_ahead_loss():
    """Central differences of l_i(theta_i, theta_j - alpha_j v_j(theta)) on a bent game of three players."""
    a = arena((2, 1, 2), 17, bend=0.7)
    alpha = {"p0": 0.2, "p1": 0.05, "p2": 0.4}

    def ahead(i, x):
        params = unravel(x, a.params)
        v = LocalGame.of(a.game, params, {}).gradient()
        moved = {j: t if j == i else {k: t[k] - alpha[j] * v[j][k] for k in t} for j, t in params.items()}
        return float(a.game.losses(moved, {})[i])

    h, slopes = 1e-3, []
    for i, p in zip(a.game.players, a.parts, strict=True):
        for k in range(p.start, p.stop):
            e = torch.zeros_like(a.theta)
            e[k] = h
            at = lambda s, i=i, e=e: ahead(i, a.theta + s * e)  # noqa: E731
            slopes.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h))
    found = cp.make("solver", "lola", opponent_lr=alpha, exact=True).direction(LocalGame.of(a.game, a.params, {}))
    close(ravel(found), torch.tensor(slopes, dtype=F64), 1e-9)


def test_first_order_lola_differs_from_the_exact_one_in_second_order():
    a = arena((2, 2), 18, bend=0.5)
    local, steps = LocalGame.of(a.game, a.params, {}), [0.02, 0.01, 0.005, 0.0025]
    errors = []
    for alpha in steps:
        first, exact = (
            ravel(cp.make("solver", "lola", opponent_lr=alpha, exact=e).direction(local)) for e in (False, True)
        )
        errors.append(float((first - exact).norm()))
    assert order(steps, errors) == pytest.approx(2, abs=0.1)


def test_sos_by_hand():
    """l_x = l_y = xy at x = y = s, alpha = 1/2: xi_0 = s/2 (1, 1), -chi = -s/2 (1, 1), <-chi, xi_0> = -s^2/2.

    So p1 = a = 1/2, and p2 = ||v||^2 = 2 s^2 where sqrt(2) s < b.
    """
    game = matrix_game(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64))
    for s, options, p in [
        (1.0, {}, 0.5),
        (1.0, {"a": 0.2}, 0.2),
        (0.05, {}, 2 * 0.05**2),
        (0.05, {"b": 0.05}, 0.5),
        (0.6, {"b": 0.9}, 0.5),
        (0.3, {"b": 0.9}, 0.18),
    ]:
        params = {i: {"value": torch.tensor([s], dtype=F64)} for i in game.players}
        sos: Any = cp.make("solver", "sos", **{"opponent_lr": 0.5, **options})
        found = sos.direction(LocalGame.of(game, params, {}))
        close(ravel(found), torch.full((2,), s / 2 * (1 - p), dtype=F64))


def test_sos_shares_are_each_member_s_own():
    game = matrix_game(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64))
    table = Evaluator(game, 2)
    params = {i: {"value": torch.tensor([[1.0], [0.05]], dtype=F64)} for i in game.players}
    found = cp.make("solver", "sos", opponent_lr=0.5).direction(LocalGame.of(table, params, {}))
    expected = torch.tensor([0.25, 0.025 * (1 - 0.005)], dtype=F64)
    for x in leaves(found):
        close(x.squeeze(1), expected)


@pytest.mark.parametrize("total", [0.5, 0.9, 1.1, 1.5, 4.0])
def test_sos_never_turns_against_la(total):
    """The point of p1: <xi_p, xi_0> >= (1 - a) ||xi_0||^2; on the tandem game lola is arrogant just above x + y = 1."""

    def losses(params, batch):
        x, y = (params[i]["value"].squeeze() for i in "xy")
        return {"x": (x + y) ** 2 - 2 * x, "y": (x + y) ** 2 - 2 * y}

    start = {i: {"value": torch.full((1,), total / 2, dtype=F64)} for i in "xy"}
    local = LocalGame.of(cp.game_from_losses(losses, start), start, {})
    xi, p, lola = (ravel(direction(name, local, opponent_lr=0.1)) for name in ("la", "sos", "lola"))
    close(xi, torch.full((2,), 0.8 * (2 * total - 2), dtype=F64))
    close(lola, xi - 0.4 * total)
    assert float(p @ xi) >= 0.5 * float(xi @ xi) - 1e-12
    assert (float(lola @ xi) < 0) == (1 < total < 4 / 3)


@pytest.mark.parametrize("name", ["la", "lola", "sos", "unrolled"])
def test_without_a_step_of_the_opponents_a_method_is_simgd(name):
    a = arena((2, 1, 2), 19, bend=0.5)
    simgd = one_step(a.game, cp.make("solver", "simgd", lr=0.1), a.params)
    close_trees(one_step(a.game, cp.make("solver", name, lr=0.1, opponent_lr=0.0), a.params), simgd)
    if name == "unrolled":
        close_trees(one_step(a.game, cp.make("solver", name, lr=0.1, k=0), a.params), simgd)


def test_unrolling_one_step_for_everyone_is_exact_lola():
    a = arena((2, 1, 2), 20, bend=0.5)
    x = one_step(a.game, cp.make("solver", "unrolled", lr=0.1, k=1, everyone=True), a.params)
    close_trees(x, one_step(a.game, cp.make("solver", "lola", lr=0.1, exact=True), a.params))


def test_unrolling_many_steps_is_stackelberg():
    """As k grows the others answer best, and the gradient is the total derivative at their answer."""
    a = arena((2, 3), 21, curvature=4.0)
    r, F, lead = response(a, 0, 0.0)
    best = a.theta.clone()
    best[F] = -torch.linalg.solve(a.J[F][:, F], a.J[F][:, lead] @ a.theta[lead] + a.c[1][F])
    d = cp.make("solver", "unrolled", k=150, opponent_lr=0.15).direction(LocalGame.of(a.game, a.params, {}))
    g = a.gradient(0, best)
    close(ravel({"p0": d["p0"]}), g[lead] + r.T @ g[F], 1e-9)


@every_game
def test_the_halves_of_jare_make_jare(sizes, opposed):
    a = arena(sizes, 22, opposed)
    local = LocalGame.of(a.game, a.params, {})
    g, d, both = (
        ravel(direction(name, local, gamma=0.7)) for name in ("reg-generator-only", "reg-discriminator-only", "jare")
    )
    close(g + d - ravel(local.gradient()), both)


def test_on_bilinear_games_conopt_sga_and_lola_are_one_field():
    for dimension, alpha in ((1, 1.0), (3, 1.0)):
        game = cp.make("game", "bilinear", dimension=dimension, alpha=alpha)
        local = LocalGame.of(game, game.init(generator()), {})
        fields = [
            direction(name, local, **options)
            for name, options in [
                ("conopt", {"gamma": 1.0}),
                ("sga", {"strength": 1.0}),
                ("lola", {"opponent_lr": 0.5}),
                ("jare", {"gamma": 1.0}),
                ("adversarial-extrapolation", {"gamma": 2.0}),
            ]
        ]
        for field in fields[1:]:
            close_trees(field, fields[0])


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_adversarial_extrapolation_is_jare_with_half_the_weight_on_zero_sum_quadratics(sizes):
    a = arena(sizes, 23, True)
    gamma = a.named([0.3, 1.5, 4.0][: len(sizes)])
    local = LocalGame.of(a.game, a.params, {})
    x = cp.make("solver", "adversarial-extrapolation", gamma=gamma).direction(local)
    close_trees(x, cp.make("solver", "jare", gamma={i: g / 2 for i, g in gamma.items()}).direction(local), 1e-11)


def test_adversarial_extrapolation_tends_to_jare_with_half_the_weight():
    """Two-sided: the error against jare(gamma/2) is of order 2, against jare(gamma), the source's claim, of order 1."""
    a = arena((2, 3), 24, True, bend=1.0)
    local, gammas = LocalGame.of(a.game, a.params, {}), [2.0**-k for k in range(5, 11)]
    for weight, expected in ((0.5, 2), (1.0, 1)):
        errors = []
        for gamma in gammas:
            x = cp.make("solver", "adversarial-extrapolation", gamma=gamma).direction(local)
            y = cp.make("solver", "jare", gamma=weight * gamma).direction(local)
            errors.append(float((ravel(x) - ravel(y)).norm()))
        assert order(gammas, errors) == pytest.approx(expected, abs=0.1)


def test_hamiltonian_descends_half_the_squared_field():
    a = arena((2, 3), 25, bend=0.6)
    d = ravel(cp.make("solver", "hamiltonian").direction(LocalGame.of(a.game, a.params, {})))

    def half(x):
        v = ravel(LocalGame.of(a.game, unravel(x, a.params), {}).gradient())
        return (v @ v) / 2

    close(d, torch.func.grad(half)(a.theta), 1e-11)


def test_hamiltonian_is_drawn_to_unstable_points():
    """NUM, section 4.1: two players at their worst points: simgd leaves, hamiltonian comes."""
    game = matrix_game(-torch.eye(2, dtype=F64))
    assert radius(moved_by(game, "simgd", lr=0.1)) > 1 > radius(moved_by(game, "hamiltonian", lr=0.1))


def test_alignment_turns_sga_away_from_an_unstable_point():
    """J = [[-1, 2], [-2, -1]]: <v, J^T v> < 0 < <A^T v, J^T v>, and the sign of lambda turns once they are large.

    Balduzzi et al., Alg. 1: the product is divided by the N = 2 numbers. At |theta| = r <v, J^T v> = -5 r^2 and
    <A^T v, J^T v> = 20 r^2, so that it turns where 50 r^4 > 1/10.
    """
    J = torch.tensor([[-1.0, 2.0], [-2.0, -1.0]], dtype=F64)
    game, A = matrix_game(J), (J - J.T) / 2
    for r, sign in ((0.2, 1), (0.22, -1), (1.0, -1)):
        theta = torch.tensor([r, 0.0], dtype=F64)
        params = {f"p{i}": {"value": theta[i : i + 1]} for i in range(2)}
        found = ravel(cp.make("solver", "sga").direction(LocalGame.of(game, params, {})))
        v = J @ theta
        close(found, v + sign * (A.T @ v))


def answered(a, x, start):
    """The follower's y with v_y(x, y) = 0, by Newton's method."""
    y = start
    for _ in range(30):
        there = LocalGame.of(a.game, {"p0": {"value": x}, "p1": {"value": y}}, {}).only(("p1",))
        y = y - torch.linalg.solve(there.jacobian().dense(), ravel(there.gradient()))
    return y


def bent():
    a = arena((2, 3), 26, curvature=5.0, bend=0.7)
    x, y = a.theta.split(a.sizes)
    return a, x, answered(a, x, y)


def test_stackelberg_descends_the_loss_along_the_answer():
    """Central differences of x -> l_x(x, y*(x))."""
    a, x, y = bent()

    def loss(x):
        return float(a.game.losses({"p0": {"value": x}, "p1": {"value": answered(a, x, y)}}, {})["p0"])

    h, slopes = 1e-3, []
    for e in torch.eye(2, dtype=F64) * h:
        slopes.append((8 * (loss(x + e) - loss(x - e)) - (loss(x + 2 * e) - loss(x - 2 * e))) / (12 * h))
    solver = cp.make("solver", "stackelberg", lr=1.0)
    found = one_step(a.game, solver, {"p0": {"value": x}, "p1": {"value": y}})
    close(x - found["p0"]["value"], torch.tensor(slopes, dtype=F64), 1e-9)
    close(found["p1"]["value"], y, 1e-12)


def test_follow_the_ridge_stays_on_the_ridge_to_second_order():
    """From v_y = 0: |v_y| after a step is of order 2 in the step size, of order 1 under simgd."""
    a, x, y = bent()
    params, steps = {"p0": {"value": x}, "p1": {"value": y}}, [2.0**-k for k in range(5, 11)]
    for name, expected in (("follow-the-ridge", 2), ("simgd", 1)):
        left = []
        for eta in steps:
            after = one_step(a.game, cp.make("solver", name, lr={"p0": eta, "p1": 3 * eta}), params)
            left.append(float(ravel(LocalGame.of(a.game, after, {}).only(("p1",)).gradient()).norm()))
        assert order(steps, left) == pytest.approx(expected, abs=0.1)


def test_follow_the_ridge_on_a_quadratic_game_approaches_the_ridge_whatever_the_leader_does():
    """v_F+ = (I - J_FF eta_F) v_F, exactly."""
    a = arena((2, 1, 3), 27)
    lr = [0.4, 0.05, 0.1]
    after = one_step(a.game, cp.make("solver", "follow-the-ridge", lr=a.named(lr)), a.params)
    F, eta = slice(2, 6), a.rows(lr)
    close(a.v(ravel(after))[F], a.v()[F] - a.J[F, F] @ (eta * a.v())[F])


@pytest.mark.parametrize(
    "rule", [{"name": "momentum", "beta": 0.8}, {"name": "rmsprop", "eps": 0.1}, {"name": "adam", "eps": 0.1}]
)
def test_follow_the_ridge_follows_the_leader_s_own_step_under_any_rule(rule):
    """On a quadratic game, from the ridge v_F = 0, followers stay on it: they go r' times as far as the leader goes.

    r' times lr v_1 would leave it at once. With eps so large rules do not make steps of what rounding leaves of v_F.
    """
    a = arena((2, 1, 3), 27)
    theta = a.theta.clone()
    theta[2:] -= torch.linalg.solve(a.J[2:, 2:], a.v()[2:])
    params, made = unravel(theta, a.params), cp.make("solver", "follow-the-ridge", lr=0.05, rule=rule)
    memory = made.init(a.game, params)
    for _ in range(5):
        before, (params, memory, _) = params, made.step(a.game, params, memory, dict)
        assert float((ravel(params) - ravel(before))[:2].norm()) > 1e-3
        close(a.v(ravel(params))[2:], torch.zeros(4, dtype=F64), 1e-7)


def test_a_zero_sum_leader_s_derivative_is_its_own_where_the_follower_is_done():
    """l_y = -l_x and v_y = 0: the correction vanishes."""
    a = arena((2, 2), 28, True, bend=1e-300)
    x, y = a.theta.split(a.sizes)
    params = {"p0": {"value": x}, "p1": {"value": answered(a, x, y)}}
    d, simgd = (one_step(a.game, cp.make("solver", name, lr=0.1), params) for name in ("stackelberg", "simgd"))
    close_trees(d, simgd)


def test_follow_the_ridge_has_no_rotation_where_simgd_has():
    """Wang et al., Fig. 1: f = -3x^2 + 4xy - y^2 has its local minimax at 0, where simgd's J has trace -4.

    FR's field is [[1, 0], [r', 1]] v: with r' = 2 it is [[-6, 4], [-16, 10]], whose eigenvalues are 2 and 2.
    """
    J = torch.tensor([[-6.0, 4.0], [-4.0, 2.0]], dtype=F64)
    game, eta = matrix_game(J, zero_sum=True), 0.1
    assert radius(moved_by(game, "simgd", lr=eta)) > 1
    F = moved_by(game, "follow-the-ridge", lr=eta)
    close(F, torch.eye(2, dtype=F64) - eta * torch.tensor([[-6.0, 4.0], [-16.0, 10.0]], dtype=F64))
    same_spectrum(F, [0.8, 0.8], 1e-6)


def test_a_follower_with_no_step_of_its_own_still_follows():
    """v_F is what it was: the ridge is not approached, and not left."""
    a = arena((2, 2), 31)
    ridge = lambda **lr: cp.make("solver", "follow-the-ridge", lr=lr)  # noqa: E731
    after = ravel(one_step(a.game, ridge(p0=0.1, p1=0.0), a.params))
    close(a.v(after)[2:], a.v()[2:])
    still = one_step(a.game, ridge(p0=0.0, p1=0.1), a.params)
    close_trees(still, one_step(a.game, cp.make("solver", "simgd", lr={"p0": 0.0, "p1": 0.1}), a.params))
