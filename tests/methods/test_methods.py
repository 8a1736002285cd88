"""Each method against its formula, written out from the paper that proposed it, in every setting it has."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel, unravel

from ..support.arenas import SIZES, arena, every_game, formulas
from ..support.cases import F64, close, close_trees, matrix_game, member, one_step, started


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


INNER = [("implicit-euler", {}), ("stackelberg", {"damping": 0.2}), ("follow-the-ridge", {"leader": "p1"})]


@every_game
@pytest.mark.parametrize(("name", "options"), INNER, ids=[n for n, _ in INNER])
def test_inner_solves_agree_and_report_themselves(name, options, sizes, opposed):
    a = arena(sizes, 5, opposed, curvature=6.0)
    lr = a.named([0.3, 0.2, 0.4][: len(sizes)])
    symmetric = name != "implicit-euler" and len(sizes) == 2  # one follower: J_FF is its Hessian
    methods = ("dense", "gmres", *(["cg"] if symmetric else []))
    found = {}
    for method in methods:
        solver = cp.make("solver", name, lr=lr, method=method, tol=1e-12, **options)
        found[method], _, info = solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})
        assert info.inner["converged"] and info.inner["residual"] < 1e-11
        assert (int(info.inner["iterations"]) > 0) == (method != "dense")
        close(ravel(info.gradient), a.v())
        close_trees(found[method], found["dense"], 1e-9)


@pytest.mark.parametrize(("name", "options"), INNER, ids=[n for n, _ in INNER])
def test_a_solve_cut_short_says_so(name, options):
    a = arena((4, 4), 6)
    solver = cp.make(
        "solver",
        name,
        method="gmres",
        max_iter=1,
        lr=1.0,
        **options,
        **({"newton": 2} if name == "implicit-euler" else {}),
    )
    _, _, info = solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})
    assert not info.inner["converged"] and info.inner["residual"] > 1e-4


# ------------------------------------------------------------------------------------------- methods that remember


@every_game
def test_ogda_and_past_extragradient_over_several_steps(sizes, opposed):
    a = arena(sizes, 7, opposed)
    lr = [0.02 * (n + 1) for n in range(len(sizes))]
    eta = a.rows(lr)
    optimistic, past = a.theta, a.theta
    last = seen = torch.zeros_like(a.theta)
    ogda, peg = (cp.make("solver", name, lr=a.named(lr)) for name in ("ogda", "past-extragradient"))
    for k in range(1, 5):
        v = a.v(optimistic)
        optimistic, last = optimistic - eta * (2 * v - last), v
        seen = a.v(past - eta * seen)
        past = past - eta * seen
        close(ravel(cp.run(a.game, ogda, steps=k, start=a.params).params), optimistic)
        result = cp.run(a.game, peg, steps=k, start=a.params)
        close(ravel(result.params), past)
        close(ravel(result.memory["direction"]["v"]), seen)
        close(past - eta * seen, optimistic)  # its next look-ahead point is ogda's point


def test_past_extragradient_takes_one_gradient_a_step_and_a_rule_s_moments_two_moves():
    """Gidel et al., Alg. 4: both moves advance m."""
    a, beta, eta = arena((2, 2), 8), 0.5, 0.1
    table = Evaluator(a.game)
    solver = cp.make("solver", "past-extragradient", lr=eta, rule={"name": "momentum", "beta": beta})
    params, memory, x = a.params, solver.init(table, a.params), a.theta
    m = seen = torch.zeros_like(x)
    for _ in range(3):
        params, memory, _ = solver.step(table, params, memory, lambda: {})
        m = beta * m + seen
        seen = a.v(x - eta * m)
        m = beta * m + seen
        x = x - eta * m
        close(ravel(params), x)
    assert table.cost.gradients == 3


def test_optimistic_adam_is_algorithm_one_of_daskalakis_et_al():
    """Moments of the gradient alone; a step twice Adam's, less Adam's last."""
    game, lr, (b1, b2), eps = cp.make("game", "random-polynomial", seed=2), 0.03, (0.5, 0.9), 1e-8
    params = game.init(torch.Generator().manual_seed(0))
    x = ravel(params)
    m = s = last = torch.zeros_like(x)
    for t in range(1, 6):
        v = ravel(LocalGame.of(game, unravel(x, params), {}).gradient())
        m, s = b1 * m + (1 - b1) * v, b2 * s + (1 - b2) * v**2
        step = (m / (1 - b1**t)) / ((s / (1 - b2**t)).sqrt() + eps)
        x, last = x - 2 * lr * step + lr * last, step
    solver = cp.make("solver", "ogda", lr=lr, rule={"name": "adam", "betas": (b1, b2), "eps": eps})
    close(ravel(cp.run(game, solver, steps=5, start=params).params), x)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["simgd", "ogda", "cgd"])
def test_lookahead_minmax_is_algorithm_1(k, name):
    """After each k inner steps, a share alpha of the way; the inner solver's memory goes on."""
    a, alpha = arena((2, 1), 9), 0.3
    wrapped = cp.make("solver", "lookahead-minmax", solver=cp.make("solver", name, lr=0.07), k=k, alpha=alpha)
    plain = cp.make("solver", name, lr=0.07)
    slow = fast = a.params
    memory = plain.init(a.game, fast)
    for step in range(1, 8):
        fast, memory, _ = plain.step(a.game, fast, memory, lambda: {})
        if step % k == 0:
            back = (1 - alpha) * ravel(slow) + alpha * ravel(fast)
            slow = fast = unravel(back, fast)
        close_trees(cp.run(a.game, wrapped, steps=step, start=a.params).params, fast)


def test_lookahead_minmax_that_keeps_the_whole_way_is_its_inner_solver():
    a = arena((2, 2), 10)
    for k, rule in itertools.product((1, 3), ("sgd", "adam")):
        plain = cp.make("solver", "extragradient", lr=0.05, rule=rule)
        wrapped = cp.make("solver", "lookahead-minmax", solver=plain, k=k, alpha=1.0)
        x, y = (cp.run(a.game, s, steps=7).params for s in (plain, wrapped))
        close_trees(x, y)
    lr = cp.make("solver", "lookahead-minmax", lr=0.2, alpha=1.0)
    close_trees(one_step(a.game, lr, a.params), one_step(a.game, cp.make("solver", "simgd", lr=0.2), a.params))


@pytest.mark.parametrize("name", ["lcgd", "sga", "lola", "stackelberg", "adversarial-extrapolation", "hamiltonian"])
def test_a_step_rule_sees_the_direction(name):
    """Negative momentum over three steps: m = beta m + d, theta - eta m, with d what sgd steps along."""
    a, eta, beta = arena((2, 2), 11, curvature=2.0), 0.05, -0.4
    options = {"opponent_lr": 0.1} if name == "lola" else {}
    plain = cp.make("solver", name, lr=eta, **options)
    solver = cp.make("solver", name, lr=eta, rule={"name": "momentum", "beta": beta}, **options)
    x, m = a.params, 0.0
    for _ in range(3):
        m = beta * m + (ravel(x) - ravel(one_step(a.game, plain, x))) / eta
        x = unravel(ravel(x) - eta * m, x)
    close_trees(cp.run(a.game, solver, steps=3, start=a.params).params, x, 1e-11)


# ------------------------------------------------------------------------------------------------------ implicit Euler


@every_game
def test_implicit_euler_on_an_affine_game_is_a_linear_solve(sizes, opposed):
    """theta+ = (I + eta J)^{-1} (theta - eta v(0)), in one Newton step."""
    a = arena(sizes, 12, opposed)
    lr = [0.3 * (n + 1) for n in range(len(sizes))]
    eta, N = a.rows(lr), sum(sizes)
    exact = torch.linalg.solve(
        torch.eye(N, dtype=F64) + eta[:, None] * a.J, a.theta - eta * a.v(torch.zeros(N, dtype=F64))
    )
    table = Evaluator(a.game)
    found, _, info = cp.make("solver", "implicit-euler", lr=a.named(lr)).step(table, a.params, {}, lambda: {})
    close(ravel(found), exact, 1e-9)
    assert table.cost.gradients <= 4 and info.inner["converged"]


@pytest.mark.parametrize("method", ["dense", "gmres"])
def test_implicit_euler_s_fixed_point_on_a_bent_game(method):
    a = arena((3, 2), 13, curvature=3.0, bend=0.8)
    for eta in (0.05, 1.0):
        solver = cp.make("solver", "implicit-euler", lr=eta, method=method)
        found, _, info = solver.step(a.game, a.params, {}, lambda: {})
        v = ravel(LocalGame.of(a.game, found, {}).gradient())
        off = ravel(found) - a.theta + eta * v
        first = eta * ravel(LocalGame.of(a.game, a.params, {}).gradient()).norm()
        assert float(off.norm() / first) < 1e-10 and info.inner["converged"]
        assert float(info.inner["residual"]) == pytest.approx(float(off.norm() / first), abs=1e-14)


def test_implicit_euler_that_does_not_get_there_says_so():
    a = arena((2, 2), 14, bend=3.0)
    _, _, info = cp.make("solver", "implicit-euler", lr=5.0, newton=1).step(a.game, a.params, {}, lambda: {})
    assert not info.inner["converged"]


def test_implicit_euler_converges_to_an_equilibrium_elsewhere():
    """Where v is smaller than the rounding of theta there is nothing left to solve: no step counts as failed."""
    for scale, opposed in ((1.0, True), (1e3, False)):
        a = arena((2, 2), 15, opposed, curvature=4.0)
        game = matrix_game(a.J, (2, 2), shift=scale * a.c[0])
        solved = []
        result = cp.run(
            game,
            cp.make("solver", "implicit-euler", lr=0.5),
            steps=60,
            observers=[lambda seen, s=solved: s.append(bool(seen.info.inner.get("converged", True)))],
        )
        close(ravel(result.params), -torch.linalg.solve(a.J, scale * a.c[0]))
        assert all(solved)


def test_implicit_euler_members_do_not_touch_each_other():
    """One is at rest, one needs many Newton steps: their counts are their own."""
    a = arena((2, 2), 16, curvature=3.0, shift=False, bend=1.0)
    table, many, _ = started(a.game, members=3)
    many = {i: {k: x * torch.tensor([[0.0], [0.3], [3.0]], dtype=F64) for k, x in t.items()} for i, t in many.items()}
    for method, tol in (("dense", None), ("gmres", None), ("gmres", 0.03)):  # a loose one leaves room to tell
        solver = cp.make("solver", "implicit-euler", lr=0.7, method=method, tol=tol)
        found, _, info = solver.step(table, many, {}, lambda: {})
        assert bool(info.inner["converged"].all())
        for m in range(3):
            one, _, own = solver.step(a.game, member(many, m), {}, lambda: {})
            close_trees(member(found, m), one)
            assert int(info.inner["iterations"][m]) == int(own.inner["iterations"])
        assert method == "dense" or info.inner["iterations"][0] == 0 < info.inner["iterations"][1]


# ------------------------------------------------------------------------------------------------------- best response


def test_best_responses_on_a_quadratic_game():
    """Each goes to the minimum of its parabola within reach: -b y / 2a for x, -b x / 2c for y."""
    game = cp.make("game", "quadratic", a=1.0, b=1.0, c=-1.0)
    for x, y, radius_, expected in [
        (0.5, 1.0, 1.0, (-0.5, 0.25)),
        (3.0, 0.0, 1.0, (2.0, 1.0)),
        (3.0, 0.0, 0.25, (2.75, 0.25)),
        (0.0, 0.0, 1.0, (0.0, 0.0)),
    ]:
        params = {"x": {"value": torch.tensor([x], dtype=F64)}, "y": {"value": torch.tensor([y], dtype=F64)}}
        for information in ("local", "full"):
            solver = cp.make("solver", "best-response", information=information, radius=radius_)
            tol = 2 * radius_ / 200 * (1 if information == "local" else 10)
            close(ravel(one_step(game, solver, params)), torch.tensor(expected, dtype=F64), tol)
        half = cp.make("solver", "best-response", information="local", radius=radius_, lr={"x": 0.5, "y": 0.0})
        close(ravel(one_step(game, half, params)), torch.tensor([(x + expected[0]) / 2, y], dtype=F64), 0.01)


def test_aware_players_play_it_safe():
    """The minimum over one's moves of the maximum over the other's, by brute force on the same grid."""
    a = arena((1, 1), 29)
    table, many, _ = started(a.game, members=3)
    many = {i: {k: x * torch.tensor([[1.0], [0.3], [-2.0]], dtype=F64) for k, x in t.items()} for i, t in many.items()}
    solver = cp.make("solver", "best-response", radius=0.7, points=15)
    found, grid = ravel(solver.step(table, many, {}, lambda: {})[0], True), np.linspace(-0.7, 0.7, 15)
    for m in range(3):
        start = ravel(member(many, m)).numpy()
        loss = lambda i, z: z @ a.Q[i].numpy() @ z / 2 + a.c[i].numpy() @ z  # noqa: E731
        for i in range(2):
            unit = np.eye(2)
            worst = [max(loss(i, start + s * unit[i] + t * unit[1 - i]) for t in grid) for s in grid]
            assert float(found[m, i]) == pytest.approx(start[i] + grid[int(np.argmin(worst))], abs=1e-12)


def test_what_players_know_decides_whether_they_stay():
    """ICR-w, Fig. 1, from (0, 2) at radius 1: full information runs off at once; local information goes round in
    growing circles, then runs off; local and opponent-aware stays. The source has alpha much larger than 1, without a
    value: for a whole circle it must exceed exp(36) / 10 = 4e14."""

    def losses(params, batch):
        x, y = (params[i]["value"].squeeze() for i in "xy")
        f = -torch.exp(x * x) - 1e16 * x * y + torch.exp(y * y)
        return {"x": f, "y": -f}

    start = {"x": {"value": torch.zeros(1, dtype=F64)}, "y": {"value": torch.full((1,), 2.0, dtype=F64)}}
    game = cp.game_from_losses(losses, start, zero_sum=True)

    def play(information):
        solver, at, path = cp.make("solver", "best-response", information=information), start, [ravel(start)]
        for _ in range(24):
            at = one_step(game, solver, at)
            path.append(ravel(at))
        return torch.stack(path)

    full, local, aware = (play(information) for information in ("full", "local", "aware"))
    away = torch.arange(25, dtype=F64)
    assert torch.equal(full.abs(), torch.stack([away, away + 2], 1))
    assert local[:, 0].max() == 5 and local[:, 1].max() == 3 and local[:, 0].min() == -3, "round"
    assert torch.equal(local[5:, 1], 4 - away[5:]), "and off"
    assert aware.abs().max() == 2
    close(aware[9:], aware[1:17], 1e-9)


# ---------------------------------------------------------------------------------------------------- wrong questions


def step(name, a, **options):
    solver = cp.make("solver", name, **options)
    return solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})


@pytest.mark.parametrize("name", ["stackelberg", "follow-the-ridge"])
def test_a_leader_must_play_and_have_followers(name):
    with pytest.raises(cp.UsageError, match=r"'p7'.*p0, p1"):
        step(name, arena((2, 2), 31), leader="p7")
    with pytest.raises(cp.UsageError, match="at least two players"):
        step(name, arena((2,), 31))


def test_a_follower_with_no_step_of_its_own_still_follows():
    """v_F is what it was: the ridge is not approached, and not left."""
    a = arena((2, 2), 31)
    after = ravel(step("follow-the-ridge", a, lr={"p0": 0.1, "p1": 0.0})[0])
    close(a.v(after)[2:], a.v()[2:])
    still = step("follow-the-ridge", a, lr={"p0": 0.0, "p1": 0.1})[0]
    close_trees(still, step("simgd", a, lr={"p0": 0.0, "p1": 0.1})[0])


@pytest.mark.parametrize("sizes", [(1, 2), (1, 1, 1), (1,)])
def test_best_response_is_for_two_numbers(sizes):
    with pytest.raises(cp.UsageError, match="two players of one number each"):
        step("best-response", arena(sizes, 31))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lookahead-minmax", {"k": 0}, "1 or more"),
        ("unrolled", {"k": -1}, "k must be at least 0"),
        ("best-response", {"points": 200}, "odd"),
        ("best-response", {"points": 1}, "odd"),
        ("best-response", {"radius": 0.0}, "more than 0"),
        ("best-response", {"information": "some"}, "full"),
        ("implicit-euler", {"method": "cg"}, "gmres"),
    ],
)
def test_options_out_of_range_are_refused_when_made(name, options, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.make("solver", name, **options)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("adversarial-extrapolation", "gamma"),
        ("reg-generator-only", "gamma"),
        ("sga", "strength"),
        ("la", "opponent_lr"),
        ("lola", "opponent_lr"),
        ("sos", "opponent_lr"),
        ("unrolled", "opponent_lr"),
        ("implicit-euler", "lr"),
        ("ogda", "lr"),
        ("past-extragradient", "lr"),
        ("stackelberg", "lr"),
        ("follow-the-ridge", "lr"),
        ("hamiltonian", "lr"),
        ("lookahead-minmax", "lr"),
    ],
)
def test_an_option_for_someone_who_does_not_play_is_refused(name, option):
    a = arena((2, 2), 31, curvature=3.0)
    with pytest.raises(cp.UsageError, match=r"one for q, who does not play.*p0, p1"):
        step(name, a, **{option: {"p0": 0.1, "p1": 0.1, "q": 0.1}})
    with pytest.raises(cp.UsageError, match="none for p1"):
        step(name, a, **{option: {"p0": 0.1}})


def test_every_method_stays_at_an_equilibrium_with_nothing_remembered():
    """A game without linear terms, at 0; also with an iterative solve."""
    a = arena((2, 2), 32, curvature=3.0, shift=False, bend=0.4)
    rest = unravel(torch.zeros(4, dtype=F64), a.params)
    for name, options, _ in formulas(a, a.rows([0.1, 0.1]), [0.2, 0.2], 2):
        for method in ("dense", "gmres") if name in ("stackelberg", "follow-the-ridge") else (None,):
            given = options if method is None else {**options, "method": method}
            after = one_step(a.game, cp.make("solver", name, lr=0.1, **given), rest)
            assert not ravel(after).any(), name
