"""The toys of the papers: closed forms, equilibria, spectra, and what is published of playing them.

Derived again here, in the sign where everyone minimises: the flow is stable iff Re lambda(J) > 0.
"""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, eigenvalues, generator, jacobian, one_step, radius, same_spectrum, started


def make(name, **options):
    return cp.make("game", name, **options)


def at(**values):
    """A point: a number or a list for each player, under the name of that player's only tensor in most toys."""
    return {i: {"value": torch.as_tensor(x, dtype=F64).reshape(-1)} for i, x in values.items()}


def logits(**values):
    return {i: {"logits": torch.as_tensor(x, dtype=F64).reshape(-1)} for i, x in values.items()}


def losses(game, params):
    return {i: float(x) for i, x in game.losses(params, {}).items()}


def path(game, solver, steps, **options):
    """Every point of a run, as (steps, N), and how it ended."""
    seen = []
    result = cp.run(
        game, solver, steps=steps, trace=False, observers=[lambda s: seen.append(ravel(s.params).clone())], **options
    )
    return torch.stack(seen), result


# --------------------------------------------------------------------------------------------------- exponential game


def test_exponential_game():
    game = make("exponential", alpha=3.0)
    x, y = 0.5, -1.2
    f = -math.exp(x * x) - 3 * x * y + math.exp(y * y)
    assert losses(game, at(x=x, y=y)) == {"x": pytest.approx(f), "y": pytest.approx(-f)}
    assert ravel(make("exponential").init(generator())).tolist() == [0.0, 2.0]
    assert ravel(make("exponential", start=(1.0, -1.0)).init(generator())).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("alpha", [3.0, 1e7])
def test_the_origin_of_the_exponential_game_is_the_worst_point_for_both(alpha):
    """J(0) = [[-2, -alpha], [alpha, -2]]: -2 +- i alpha; away from 0 the curvatures are more negative still."""
    game = make("exponential", alpha=alpha)
    close(jacobian(game, at(x=0.0, y=0.0)), torch.tensor([[-2.0, -alpha], [alpha, -2.0]], dtype=F64))
    for x, y in ((0.7, 0.1), (-1.5, 2.0)):
        own = jacobian(game, at(x=x, y=y)).diagonal()
        close(own, torch.tensor([-(2 + 4 * z * z) * math.exp(z * z) for z in (x, y)], dtype=F64))


def best_response(information, steps, **options):
    return path(
        make("exponential", **options), cp.make("solver", "best-response", information=information, points=41), steps
    )


def test_full_information_diverges_at_once():
    """ICR-w Fig. 1, first panel: both run off by 1 a round, and never turn."""
    points, result = best_response("full", 100)
    assert result.status == "diverged"
    size = points.abs()
    close(size[:20, 0], torch.arange(20, dtype=F64))
    close(size[:20, 1], 2 + torch.arange(20, dtype=F64))


@pytest.mark.parametrize(("options", "turns"), [({}, 1), ({"alpha": 1e20}, 1), ({"alpha": 1e50}, 2)])
def test_local_information_oscillates_and_then_diverges(options, turns):
    """Second panel: both turn round, which slows divergence until the exponentials win; the larger alpha, the later."""
    points, result = best_response("local", 100, **options)
    assert result.status == "diverged"
    assert result.steps > best_response("full", 100)[1].steps
    moves = points.diff(dim=0).sign()
    for player, m in zip("xy", moves.T, strict=True):
        assert int(((m[1:] * m[:-1]) < 0).sum()) >= turns, f"{player} turns"
    assert (points.amin(0) < 0).all() and (points.amax(0) > 0).all(), "both cross the origin"


@pytest.mark.parametrize(("exponents", "step", "there", "player"), [((16, 4), 1, [1, 3], 1), ((36, 16), 5, [5, -1], 0)])
def test_below_the_threshold_nobody_turns_back(exponents, step, there, player):
    """y at (1, 3) if 2 alpha > e^16 - e^4, x at (5, -1) if 2 alpha > e^36 - e^16: the reasons for the default."""
    outer, inner = exponents
    threshold = (math.exp(outer) - math.exp(inner)) / 2
    for alpha, back in ((0.99 * threshold, False), (1.01 * threshold, True)):
        points, _ = best_response("local", step + 2, alpha=alpha)
        assert points[step].tolist() == there
        assert (abs(float(points[step + 1, player])) < abs(there[player])) == back


def test_local_and_aware_stays():
    """Third panel: no further out than it began, for ever; here a cycle of eight rounds."""
    points, result = best_response("aware", 40)
    assert result.status == "max_steps"
    assert float(points.abs().max()) <= 2
    close(points[8:], points[:-8])


# ------------------------------------------------------------------------------------------------- linear toys


def test_weak_attractor():
    """1 +- 10i, so |1 - eta lambda|^2 = 1 - 2 eta + 101 eta^2: below 1 for eta < 2/101."""
    game = make("weak-attractor")
    origin = at(x=0.0, y=0.0)
    same_spectrum(jacobian(game, origin), [1 + 10j, 1 - 10j], 1e-12)
    rho = {}
    for eta in (0.01, 0.032, 0.1):
        rho[eta] = radius(cp.update_jacobian(game, cp.make("solver", "simgd", lr=eta), origin))
        assert rho[eta] == pytest.approx(math.sqrt(1 - 2 * eta + 101 * eta**2), abs=1e-12)
    assert 0.99 < rho[0.01] < 1 < rho[0.032] < 1.02 and rho[0.1] > 1.3, "slowly, slowly, rapidly"


def test_sga_finds_the_weak_attractor_where_gradient_play_does_not():
    game, origin = make("weak-attractor"), at(x=0.0, y=0.0)
    at_sga = radius(cp.update_jacobian(game, cp.make("solver", "sga", lr=0.01), origin))
    assert at_sga < radius(cp.update_jacobian(game, cp.make("solver", "simgd", lr=0.01), origin)) - 0.4


def cot(angle):
    return 1 / math.tan(angle)


@pytest.mark.parametrize("epsilon", [0.01, 0.0, 0.5])
def test_four_player(epsilon):
    game = make("four-player", epsilon=epsilon)
    origin = at(w=0.0, x=0.0, y=0.0, z=0.0)
    turns = [s * cot(k * math.pi / 8) for k in (1, 3) for s in (1, -1)]
    same_spectrum(jacobian(game, origin), [epsilon + 1j * t for t in turns], 1e-12)
    w, x, y, z = 0.3, -1.0, 2.0, 0.7
    own = losses(game, at(w=w, x=x, y=y, z=z))
    half = epsilon / 2
    assert own == {
        "w": pytest.approx(half * w * w + w * x + w * y + w * z),
        "x": pytest.approx(-w * x + half * x * x + x * y + x * z),
        "y": pytest.approx(-w * y - x * y + half * y * y + y * z),
        "z": pytest.approx(-w * z - x * z - y * z + half * z * z),
    }
    assert sum(own.values()) == pytest.approx(half * (w * w + x * x + y * y + z * z)), "zero-sum but for the attraction"


def test_without_an_attractor_four_players_never_settle_by_gradient_play():
    origin = at(w=0.0, x=0.0, y=0.0, z=0.0)
    for epsilon, lr, below in ((0.01, 0.001, True), (0.01, 0.01, False), (0.0, 0.001, False)):
        rho = radius(
            cp.update_jacobian(make("four-player", epsilon=epsilon), cp.make("solver", "simgd", lr=lr), origin)
        )
        assert (rho < 1) == below


def test_tandem():
    """Fixed points x + y = 1, where the losses are 1 - 2x and 1 - 2y: together 0, and none of them is better."""
    game = make("tandem")
    close(jacobian(game, at(x=0.4, y=-3.0)), torch.full((2, 2), 2.0, dtype=F64))
    for x in (-2.0, 0.25, 3.0):
        own = losses(game, at(x=x, y=1 - x))
        assert own == {"x": pytest.approx(1 - 2 * x), "y": pytest.approx(1 - 2 * (1 - x))}
        assert sum(own.values()) == pytest.approx(0, abs=1e-12)
        assert float(ravel(started(game)[0].field(("x", "y"), at(x=x, y=1 - x), {})[0]).abs().max()) < 1e-12
    # Together they would do best at x + y = 1/2, where 2 s^2 - 2 s = -1/2: what neither can hold alone.
    together = {s: sum(losses(game, at(x=s / 3, y=2 * s / 3)).values()) for s in (0.4, 0.5, 0.6)}
    assert together[0.5] == pytest.approx(-0.5) and together[0.5] < min(together[0.4], together[0.6])


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_lola_is_arrogant_in_tandem(alpha):
    """lola rests where x + y = (1 - 2 alpha)/(1 - 4 alpha) > 1, and both together lose more; la and sos do not move
    from the game's own fixed points. Every method falls onto its line from both sides."""
    game, arrogant = make("tandem"), (1 - 2 * alpha) / (1 - 4 * alpha)
    for name, rest in (("simgd", 1.0), ("la", 1.0), ("sos", 1.0), ("lola", arrogant)):
        solver = cp.make("solver", name, lr=0.05, **({} if name == "simgd" else {"opponent_lr": alpha}))
        for off in (0.0, 0.1, -0.1):
            after = one_step(game, solver, at(x=0.3, y=rest + off - 0.3))
            moved = float(ravel(after).sum()) - (rest + off)
            assert abs(moved) < 1e-12 if off == 0 else -1 < moved / off < 0
    assert arrogant > 1 and 2 * arrogant**2 - 2 * arrogant > 0


# ------------------------------------------------------------------------------------------------- one-round memory

NEVER, ALWAYS = -40.0, 40.0  # sigmoids that are 0 and 1 to rounding
DEFECT, COOPERATE = [NEVER] * 5, [ALWAYS] * 5
TIT_FOR_TAT = [ALWAYS, ALWAYS, NEVER, ALWAYS, NEVER]  # what the other did last: CC, CD, DC, DD
GRIM = [ALWAYS, ALWAYS, NEVER, NEVER, NEVER]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.96])
@pytest.mark.parametrize(
    ("x", "y", "first", "later"),
    [
        (DEFECT, DEFECT, (-2, -2), (-2, -2)),
        (TIT_FOR_TAT, TIT_FOR_TAT, (-1, -1), (-1, -1)),
        (COOPERATE, DEFECT, (-3, 0), (-3, 0)),
        (TIT_FOR_TAT, DEFECT, (-3, 0), (-2, -2)),
        (DEFECT, GRIM, (0, -3), (-2, -2)),
    ],
)
def test_iterated_prisoners_dilemma(x, y, first, later, gamma):
    """Discounted: first + gamma/(1 - gamma) later; at gamma .96 defecting costs 50, tit-for-tat 25, or 51 to 48."""
    own = losses(make("iterated-prisoners-dilemma", gamma=gamma), logits(x=x, y=y))
    expected = [-(a + gamma / (1 - gamma) * b) for a, b in zip(first, later, strict=True)]
    assert own == {"x": pytest.approx(expected[0], abs=1e-9), "y": pytest.approx(expected[1], abs=1e-9)}


def test_the_dilemma_by_playing_it():
    """The linear solve against the sum over rounds."""
    game = make("iterated-prisoners-dilemma", gamma=0.7)
    params = game.init(generator(3))
    p, q = (params[i]["logits"].sigmoid().tolist() for i in "xy")
    law = {(a, b): (p[0] if a else 1 - p[0]) * (q[0] if b else 1 - q[0]) for a in (1, 0) for b in (1, 0)}
    pay = {(1, 1): (-1, -1), (1, 0): (-3, 0), (0, 1): (0, -3), (0, 0): (-2, -2)}
    after = {(1, 1): 1, (1, 0): 2, (0, 1): 3, (0, 0): 4}
    total = [0.0, 0.0]
    for t in range(120):
        for n in range(2):
            total[n] -= 0.7**t * sum(law[s] * pay[s][n] for s in law)
        moves = {s: (p[after[s]], q[after[s[::-1]]]) for s in law}
        law = {
            (a, b): sum(
                w * (moves[s][0] if a else 1 - moves[s][0]) * (moves[s][1] if b else 1 - moves[s][1])
                for s, w in law.items()
            )
            for a, b in pay
        }
    assert list(losses(game, params).values()) == pytest.approx(total, abs=1e-9)
    metrics = game.metrics(params, {})
    assert [float(metrics[f"payoff_{i}"]) for i in "xy"] == pytest.approx([-0.3 * t for t in total])


def test_defection_is_an_equilibrium_and_attracts_gradient_play():
    """From indifference gradient play learns to defect: a payoff near -2 a round."""
    game = make("iterated-prisoners-dilemma")
    result = cp.run(
        game, cp.make("solver", "simgd", lr=1.0), steps=150, trace=False, start=logits(x=[0.0] * 5, y=[0.0] * 5)
    )
    assert float(game.metrics(result.params, {})["payoff_x"]) < -1.9


@pytest.mark.parametrize("name", ["iterated-prisoners-dilemma", "matching-pennies"])
def test_a_discount_of_one_is_refused(name):
    with pytest.raises(cp.UsageError, match="gamma"):
        make(name, gamma=1.0)


def test_memory_one_products_are_right_with_autograd_off():
    """As in a traced run: forward mode over a pullback, where torch.linalg.solve is silently wrong."""
    game = make("matching-pennies", iterated=True)
    table, params, _ = started(game, trace=True)
    u, h = game.init(generator(9)), 1e-5
    with torch.no_grad():
        local = cp.LocalGame.of(table, params, {})
        up, down = (
            ravel(local.at({i: {"logits": params[i]["logits"] + s * h * u[i]["logits"]} for i in "xy"}).gradient())
            for s in (1, -1)
        )
        close(ravel(local.jacobian().mv(u)), (up - down) / (2 * h), 1e-7)


def test_matching_pennies():
    """f = -(2p - 1)(2q - 1) = -tanh(x/2) tanh(y/2): J(0) = [[0, -1/4], [1/4, 0]]."""
    game = make("matching-pennies")
    own = losses(game, logits(x=0.8, y=-0.3))
    value = math.tanh(0.4) * math.tanh(-0.15)
    assert own == {"x": pytest.approx(-value), "y": pytest.approx(value)}
    close(jacobian(game, logits(x=0.0, y=0.0)), torch.tensor([[0.0, -0.25], [0.25, 0.0]], dtype=F64))


def test_iterated_matching_pennies():
    """Logits 0 make the other indifferent: v = 0, no curvature of one's own, all eigenvalues imaginary."""
    game = make("matching-pennies", iterated=True)
    even = logits(x=[0.0] * 5, y=[0.0] * 5)
    table, _, _ = started(game)
    assert float(ravel(cp.LocalGame.of(table, even, {}).gradient()).abs().max()) < 1e-15
    J = jacobian(game, even)
    close(J, -J.T)
    close(J[:5, :5], torch.zeros(5, 5, dtype=F64))
    params = game.init(generator(1))
    assert sum(losses(game, params).values()) == pytest.approx(0, abs=1e-12)
    heads = losses(game, logits(x=[ALWAYS] * 5, y=[ALWAYS] * 5))
    assert heads == {"x": pytest.approx(-10), "y": pytest.approx(10)}, "a penny a round, discounted by .9"


# ------------------------------------------------------------------------------------------------- covariance


def test_covariance_losses_are_the_closed_form():
    """sum W_ij (Sigma - V V^T)_ij, exactly; by samples on average."""
    game = make("covariance", dimension=3)
    table, params, batch = started(game)
    V, W, U = params["generator"]["V"], params["discriminator"]["W"], game.root
    f = (W * (U @ U.T - V @ V.T)).sum()
    own = table.losses(params, batch)
    close(own["generator"], f)
    close(own["discriminator"], -f)
    sampled = make("covariance", dimension=3, exact=False, batch=200_000)
    drawn = sampled.sample(generator(), {})
    assert float(sampled.losses(params, drawn)["generator"]) == pytest.approx(float(f), abs=0.05 * float(W.norm()) * 9)
    error = game.metrics(params, batch)["covariance_error"]
    close(error, torch.linalg.matrix_norm(V @ V.T - U @ U.T))


def test_spectrum_of_the_covariance_game():
    """At V = U, W = 0: +-i sqrt(2 (s_k + s_l)) for k <= l, and d^2 - d zeros.

    J is antisymmetric with the block of dV -> -(dV U^T + U dV^T); in the singular basis of U a pair (k, l) of dV is
    mapped on two equal entries u_l a + u_k b.
    """
    game = make("covariance", dimension=3)
    table, _, batch = started(game)
    point = {"generator": {"V": game.root}, "discriminator": {"W": torch.zeros(3, 3, dtype=F64)}}
    J = jacobian(table, point, batch)
    close(J, -J.T)
    s = torch.linalg.eigvalsh(game.root @ game.root.T).tolist()
    sizes = [math.sqrt(2 * (s[k] + s[m])) for k in range(3) for m in range(k, 3)]
    same_spectrum(J, [sign * 1j * x for x in sizes for sign in (1, -1)] + [0.0] * 6, 1e-6)


def test_cgd_learns_a_covariance_where_gradient_play_runs_off():
    game = make("covariance", dimension=3, radius=0.1)
    errors = {}
    for name in ("simgd", "cgd"):
        result = cp.run(game, cp.make("solver", name, lr=0.1), steps=50, trace=False, blowup=1e3)
        errors[name] = float(game.metrics(result.params, {})["covariance_error"])
    start = float(game.metrics(game.init(generator()), {})["covariance_error"])
    assert errors["cgd"] < start / 3 and errors["simgd"] > start


def test_exact_covariance_needs_wgan():
    with pytest.raises(cp.UsageError, match="exact=false"):
        make("covariance", loss="saturating")
    make("covariance", loss="saturating", exact=False)


# ------------------------------------------------------------------------------------------------- projection


def test_projection_game():
    """28 parameters each; outputs in S, never at P; the loss by hand."""
    game = make("projection")
    params, batch = game.init(generator(4)), game.buffers(generator())
    assert {i: sum(x.numel() for x in t.values()) for i, t in params.items()} == {"generator": 28, "discriminator": 28}
    g, d = params["generator"], params["discriminator"]
    x, y = (g["output"] @ (g["hidden"] @ g["input"].atan()).atan()).tolist()
    made = [math.exp(math.atan(y) / math.pi + x), math.exp(math.atan(y) / math.pi - x)]
    assert game.show(params, batch)[0].tolist() == pytest.approx(made)
    assert [float(v) for v in game.metrics(params, batch).values()] == pytest.approx(made)

    def score(point):
        seen = torch.tensor([point[0], 1e-2 * point[1]], dtype=F64)
        return float((d["output"] @ (d["hidden"] @ (d["input"] @ seen).atan()).atan()).atan())

    f = score([2.0, 2.0]) - score(made)
    own = game.losses(params, batch)
    assert [float(own["generator"]), float(own["discriminator"])] == pytest.approx([f, -f])


def test_the_generator_cannot_reach_the_target():
    """log(x y)/2 = s lies in (-1/2, 1/2); at P it is log 2 = .69. With x = 2 the best y is e/2."""
    game = make("projection", std=3.0)
    batch = game.buffers(generator())
    points = torch.cat([game.show(game.init(generator(seed)), batch) for seed in range(200)])
    s = points.log().sum(1) / 2
    assert float(s.abs().max()) < 0.5 < math.log(2)


def test_identity_eta_is_an_option():
    game = make("projection", eta=[1, 1])
    assert game.buffers(generator())["eta"].tolist() == [1.0, 1.0]


# ------------------------------------------------------------------------------------------------- random polynomials


@pytest.mark.parametrize(("n", "dimension", "degree"), [(1, 2, 3), (2, 1, 4), (3, 2, 3), (5, 1, 2)])
def test_a_stable_random_polynomial(n, dimension, degree):
    """v(0) = 0, Re lambda >= 1, every player at a strict minimum of its own: a Nash equilibrium."""
    game = make("random-polynomial", n=n, dimension=dimension, degree=degree, seed=7)
    origin = {i: {"value": torch.zeros(dimension, dtype=F64)} for i in game.players}
    table, _, _ = started(game)
    assert float(ravel(cp.LocalGame.of(table, origin, {}).gradient()).abs().max()) == 0
    J = jacobian(game, origin)
    assert float(torch.linalg.eigvalsh((J + J.T) / 2)[0]) == pytest.approx(1)
    assert float(eigenvalues(J).real.min()) >= 1 - 1e-9
    for k in range(n):
        own = slice(k * dimension, (k + 1) * dimension)
        assert float(torch.linalg.eigvalsh(J[own, own])[0]) >= 1 - 1e-9
    result = cp.run(game, cp.make("solver", "simgd", lr=0.05), steps=400, trace=False, until="gradient_norm<1e-6")
    assert result.status == "converged"


def test_a_random_polynomial_by_hand():
    """Two players, degree 3, from its coefficients; linear terms only where it need not be stable."""
    game = make("random-polynomial", n=2, degree=3, seed=1, stable=False)
    theta = [0.4, -1.1]
    one, two, three = (c.tolist() for c in game.coefficients)
    for i, loss in enumerate(losses(game, at(p0=theta[0], p1=theta[1])).values()):
        expected = sum(one[i][a] * theta[a] for a in range(2))
        expected += sum(two[i][a][b] * theta[a] * theta[b] for a in range(2) for b in range(2)) / 2
        expected += (
            sum(
                three[i][a][b][c] * theta[a] * theta[b] * theta[c] for a in range(2) for b in range(2) for c in range(2)
            )
            / 3
        )
        assert loss == pytest.approx(expected)
    assert game.mu == 0


def test_the_seed_of_a_random_polynomial_is_its_own():
    a, b, c = (make("random-polynomial", seed=s) for s in (0, 0, 1))
    assert a == b != c
    assert all(torch.equal(x, y) for x, y in zip(a.coefficients, b.coefficients, strict=True))
    assert not torch.equal(a.coefficients[2], c.coefficients[2])
    state = torch.get_rng_state()
    make("random-polynomial", seed=5)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"degree": 1}, {"n": 10, "dimension": 10, "degree": 5}], ids=["n", "degree", "size"]
)
def test_random_polynomials_that_cannot_be(options):
    with pytest.raises(cp.UsageError, match=r"random-polynomial|coefficients|degree|\bn\b"):
        make("random-polynomial", **options)


# ------------------------------------------------------------------------------------------------- all of them

TOYS = [
    ("weak-attractor", {}),
    ("four-player", {}),
    ("tandem", {}),
    ("matching-pennies", {}),
    ("matching-pennies", {"iterated": True}),
    ("iterated-prisoners-dilemma", {"gamma": 0.5}),
    ("random-polynomial", {}),
    ("covariance", {"dimension": 2}),
    ("projection", {}),
]


@pytest.mark.parametrize(("name", "options"), TOYS, ids=[f"{n}-{k}" for k, (n, _) in enumerate(TOYS)])
def test_cgd_on_the_toys_is_its_closed_form(name, options):
    """theta - (I + eta J_off)^{-1} eta v, by iteration where it is zero-sum: both need the right mixed derivatives."""
    game = make(name, **options)
    table, params, batch = started(game, seed=2)
    local = cp.LocalGame.of(table, params, batch)
    v, J, eta = ravel(local.gradient()), jacobian(table, params, batch), 0.1
    sizes = [sum(x.numel() for x in t.values()) for t in params.values()]
    own = torch.block_diag(*(torch.ones(s, s) for s in sizes)).bool()
    step = -torch.linalg.solve(torch.eye(len(v), dtype=F64) + eta * J.masked_fill(own, 0), eta * v)
    for method in ("dense", "cg" if game.zero_sum and len(sizes) == 2 else "gmres"):
        solver = cp.make("solver", "cgd", lr=eta, method=method)
        after = solver.step(table, params, solver.init(table, params), lambda: batch)[0]
        close(ravel(after), ravel(params) + step, 1e-8)


def test_starting_points_differ_by_seed():
    for name, options in TOYS:
        game = make(name, **options)
        a, b, c = (ravel(game.init(generator(s))) for s in (0, 0, 1))
        assert torch.equal(a, b) and not torch.equal(a, c), name
