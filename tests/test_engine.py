"""Runs: how they end, what is kept, what looking on changes (nothing), and what a row of the log says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core import settings
from counterplay.core.local import LocalGame
from counterplay.core.observers import Every
from counterplay.core.prepared import Prepared
from counterplay.core.state import State
from counterplay.core.tree import leaves, ravel, tmap

from .cases import F64, SmoothGan, close, close_trees, generator, identical, member, same_spectrum

QUADRATIC = cp.make("game", "quadratic")
CONVERGES, SLOWLY, DIVERGES = ({"x": x, "y": y} for x, y in ((0.09, 0.01), (0.03, 0.03), (0.01, 0.09)))


def simgd(lr=0.01, **options):
    return cp.make("solver", "simgd", lr=lr, **options)


def one_player(loss, start, **options):
    return cp.game_from_losses(lambda p, b: {"x": loss(p["x"]["w"])}, {"x": {"w": torch.as_tensor(start, **options)}})


def watched(game, solver, **options):
    """A run and the list of what an observer saw."""
    seen = []
    return cp.run(game, solver, observers=[seen.append], **options), seen


# -------------------------------------------------------------------------------------------------------- how it ends


def test_converged():
    result, seen = watched(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-6")
    assert (result.status, result.message, result.steps) == ("converged", "", seen[-1].step) and result.steps < 1000
    norms = [np.linalg.norm(s.figures.gradient_norms) for s in seen]
    assert norms[-1] < 1e-6 <= min(norms[:-1]), "it stops at the first point that meets it"
    v = LocalGame.of(QUADRATIC, result.params, {}).gradient()
    assert float(ravel(v).norm()) == pytest.approx(norms[-1], rel=1e-12), "and the point is the one returned"


def test_converged_at_the_last_point():
    """The condition is also asked of the point that the last step led to."""
    steps = cp.run(QUADRATIC, simgd(CONVERGES), steps=5000, until="gradient_norm<1e-6").steps
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=steps, until="gradient_norm<1e-6").status == "converged"
    result = cp.run(QUADRATIC, simgd(CONVERGES), steps=steps - 1, until="gradient_norm<1e-6")
    assert (result.status, result.steps) == ("not_converged", steps - 1) and "not met" in result.message


def test_a_spent_budget_is_no_success():
    result = cp.run(QUADRATIC, simgd(CONVERGES), steps=7)
    assert (result.status, result.steps, result.diverged, result.directory) == ("max_steps", 7, (), None)


def test_no_steps_at_all():
    result, seen = watched(QUADRATIC, simgd(), steps=0, seed=3)
    assert result.status == "max_steps" and identical(result.params, QUADRATIC.init(generator(3)))
    assert [(s.step, s.last) for s in seen] == [(0, True)]


@pytest.mark.parametrize("condition", ["loss.y>=0", "parameter_norm.x<1e9", "gradient_norm.y<=1e9", "loss.x<1e9"])
def test_conditions_by_player(condition):
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=300, until=condition).status == "converged"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("gradnorm<1", "cannot read"),
        ("gradient_norm<", "cannot read"),
        ("gradient_norm<one", "cannot read"),
        ("loss<1", "players x, y"),
        ("gradient_norm.z<1", "players x, y"),
    ],
)
def test_a_condition_that_cannot_be_read(condition, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.run(QUADRATIC, simgd(), steps=1, until=condition)


# --------------------------------------------------------------------------------------------------------- divergence


def test_a_run_that_blows_up_keeps_the_last_point_within_the_bound():
    result, seen = watched(QUADRATIC, simgd(DIVERGES), steps=5000, blowup=1e6)
    bound = 1e6
    assert result.status == "diverged" and float(ravel(result.params).norm()) <= bound
    beyond = cp.run(QUADRATIC, simgd(DIVERGES), steps=result.steps + 1, blowup=float("inf"))
    assert beyond.status == "max_steps" and float(ravel(beyond.params).norm()) > bound
    assert "blow-up bound" in result.message and f"at step {result.steps}" in result.message
    assert seen[-1].last and seen[-1].step == result.steps and not any(s.last for s in seen[:-1])
    close_trees(result.params, seen[-1].params)


def test_the_default_bound_is_far_away_and_in_the_precision_of_the_run():
    big = cp.run(QUADRATIC, simgd(DIVERGES), steps=5000)
    small = cp.run(QUADRATIC, simgd(DIVERGES), steps=5000, dtype="float32")
    assert big.status == small.status == "diverged"
    assert 1e28 < float(ravel(big.params).norm()) < 1e32 and 1e13 < float(ravel(small.params).norm()) < 1e17


def test_without_a_bound_a_run_goes_on_to_the_last_finite_number():
    result = cp.run(QUADRATIC, simgd(1e3), steps=500, blowup=float("inf"))
    assert result.status == "diverged" and "not finite" in result.message
    assert all(torch.isfinite(x).all() for x in leaves(result.params)) and float(ravel(result.params).norm()) > 1e100


@pytest.mark.parametrize(
    ("loss", "start", "lr", "words"),
    [
        (lambda w: (w.log() - w).sum(), [0.3, 0.9], 0.5, "loss of x"),  # steps below 0, where log is no number
        (lambda w: w.abs().sqrt().sum(), [1.0, 0.0], 0.1, "gradient of x/w"),  # sqrt has no derivative at 0
        (lambda w: 1e200 * w.sum(), [1.0], 1e200, "parameter x/w"),
    ],
    ids=["loss", "gradient", "parameter"],
)
def test_the_first_value_that_is_not_finite_is_named(loss, start, lr, words):
    result, seen = watched(one_player(loss, start, dtype=F64), simgd(lr), steps=10)
    assert result.status == "diverged" and f"he {words} is not finite at step" in result.message, result.message
    assert torch.isfinite(result.params["x"]["w"]).all()
    assert identical(result.params, seen[-1].params) and result.steps == seen[-1].step


def test_the_last_point_is_looked_at_too():
    """log w falls to -inf at w = 0, where the only step leads: no success, and not below -1e5 either."""
    game = one_player(lambda w: w.log().sum(), [0.5], dtype=F64)
    for until in (None, "loss.x<-1e5", "parameter_norm<0.1"):
        result = cp.run(game, simgd(0.25), steps=1, until=until)
        assert (result.status, result.steps) == ("diverged", 1) and "loss of x is not finite" in result.message
    members = cp.run(
        game,
        simgd([0.25, 0.1]),
        steps=1,
        members=2,
        until="parameter_norm<1e9",
        start={"x": {"w": torch.tensor([0.5])}},
    )
    assert members.status == "converged" and members.steps == 0
    members = cp.run(game, simgd([0.25, 0.1]), steps=1, members=2)
    assert (members.status, members.diverged) == ("max_steps", (0,))
    members = cp.run(game, simgd([0.25, 0.1]), steps=1, members=2, until="loss.x<-1")
    assert (members.status, members.diverged) == ("not_converged", (0,)), "-inf is below -1, but no number"


def test_the_memory_kept_is_the_one_of_the_point_kept():
    """Going on from the kept state plays the same bad step again."""
    solver = simgd(DIVERGES, rule={"name": "momentum", "beta": 0.5})
    result = cp.run(QUADRATIC, solver, steps=150, blowup=1e3)
    assert result.status == "diverged"
    again = cp.run(QUADRATIC, solver, steps=result.steps, blowup=float("inf"))
    assert identical((again.params, again.memory), (result.params, result.memory))


def test_a_norm_that_overflows_in_single_precision_is_no_false_alarm():
    game = one_player(lambda w: 1e-8 * w.sum(), [1e25, -3e25, 2e25], dtype=torch.float32)
    result, seen = watched(game, simgd(1.0), steps=3, blowup=float("inf"))
    assert result.status == "max_steps"
    for s in seen:
        assert s.figures.parameter_norms == pytest.approx([14**0.5 * 1e25], rel=1e-6)


def test_a_gradient_whose_norm_overflows_is_measured_in_double():
    game = one_player(lambda w: (1e25 * w).sum(), [1e-10, 2e-10], dtype=torch.float32)
    result, seen = watched(game, simgd(0.0), steps=1)
    assert result.status == "max_steps" and seen[0].figures.gradient_norms == pytest.approx([2**0.5 * 1e25], rel=1e-6)


# ------------------------------------------------------------------------------------------------------------ observers


@pytest.mark.parametrize("trace", [False, True])
def test_looking_on_changes_nothing_bit_for_bit(tmp_path, trace):
    """Log, spectra, samples, checkpoints and observers, on a game that draws, with a solver that solves."""
    game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=6)
    solver = cp.make("solver", "acgd", lr=0.01, method="cg")
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "gradient-penalty")]
    bare = cp.run(game, solver, steps=6, seed=5, regularizers=regularizers, trace=trace)
    touched = []
    full = cp.run(
        game,
        solver,
        steps=6,
        seed=5,
        regularizers=regularizers,
        trace=trace,
        out=tmp_path / "run",
        spectrum_every=2,
        checkpoint_every=2,
        every=1,
        observers=[Every(2, lambda s: touched.append(torch.rand(3)))],
        progress=lambda *a: None,
    )
    assert identical((bare.params, bare.memory), (full.params, full.memory)) and len(touched) == 4


def test_the_order_in_which_a_solver_names_the_players_is_its_own_affair(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Backwards(cp.Solver):
        def step(self, game, params, memory, draw):
            after, memory, info = simgd(CONVERGES).step(game, params, memory, draw)
            return dict(reversed(after.items())), memory, info

        def init(self, game, params):
            return simgd(CONVERGES).init(game, params)

    for name, solver in (("a", Backwards()), ("b", simgd(CONVERGES))):
        cp.run(QUADRATIC, solver, steps=4, out=tmp_path / name)
    found, expected = (cp.open_log(tmp_path / name)["step/parameters"] for name in "ab")
    assert (found == expected).all()


def test_an_observer_sees_every_point_once_and_the_last_as_last():
    _, seen = watched(QUADRATIC, simgd(CONVERGES), steps=4)
    assert [s.step for s in seen] == [0, 1, 2, 3, 4] and [s.last for s in seen] == [False] * 4 + [True]
    for n, expected in [(0, []), (2, [0, 2, 4]), (3, [0, 3, 4])]:
        steps = []
        cp.run(QUADRATIC, simgd(CONVERGES), steps=4, observers=[Every(n, lambda s: steps.append(s.step))])  # noqa: B023
        assert steps == expected


def test_what_is_seen_at_step_k_belongs_to_the_point_of_step_k():
    """Losses, gradient and norms are those at theta_k on the batch of step k."""
    game = SmoothGan(batch=3)
    _, seen = watched(game, simgd(0.3), steps=3, seed=2)
    for s in seen:
        local = LocalGame.of(game, s.params, s.batch)
        for n, i in enumerate(game.players):
            assert s.figures.losses[n] == pytest.approx(float(local.losses()[i]), rel=1e-12)
            assert s.figures.gradient_norms[n] == pytest.approx(
                float(ravel({i: local.gradient()[i]}).norm()), rel=1e-12
            )
            assert s.figures.parameter_norms[n] == pytest.approx(float(ravel({i: s.params[i]}).norm()), rel=1e-12)
    batches = [float(s.batch["noise"].sum()) for s in seen]
    assert len(set(batches)) == 4


@pytest.mark.parametrize("members", [None, 2])
def test_the_rows_of_the_log_are_what_was_seen(tmp_path, members):
    game, solver = cp.make("game", "quadratic", b=3.0), cp.make("solver", "altgd", lr=0.05)
    result, seen = watched(game, solver, steps=5, out=tmp_path / "run", members=members)
    log = cp.open_log(tmp_path / "run")
    assert log["step/step"].tolist() == [0, 1, 2, 3, 4, 5] and log.players == ("x", "y")
    for name in ("losses", "gradient_norms", "parameter_norms"):
        assert np.array_equal(log[f"step/{name}"], np.stack([getattr(s.figures, name) for s in seen]))
    theta = np.stack([ravel(s.params, members is not None).numpy() for s in seen])
    assert np.array_equal(log["step/parameters"], theta)
    assert np.array_equal(log["step/parameters"][-1], ravel(result.params, members is not None).numpy())
    x, y = theta[..., 0], theta[..., 1]
    np.testing.assert_allclose(log["step/losses"][:-1, ..., 0], (x * x + 3 * x * y + y * y)[:-1], rtol=1e-12)
    moved = x[1:]  # altgd: y moves, and reports its loss, after x
    np.testing.assert_allclose(
        log["step/losses"][:-1, ..., 1], -(moved**2 + 3 * moved * y[:-1] + y[:-1] ** 2), rtol=1e-12
    )


def test_spectra_in_the_log_are_those_of_the_points(tmp_path):
    game = cp.make("game", "dirac-gan")
    _, seen = watched(game, simgd(0.1), steps=4, out=tmp_path / "run", spectrum_every=2)
    log = cp.open_log(tmp_path / "run")
    assert log["spectrum/step"].tolist() == [0, 2, 4]
    for row, step in enumerate((0, 2, 4)):
        J = LocalGame.of(game, seen[step].params, seen[step].batch).jacobian().dense()
        same_spectrum(J, log["spectrum/eigenvalues"][row].tolist(), 1e-12)


def test_costs_are_counted_and_looking_is_free(tmp_path):
    """Gradients, products and samples of the solver alone: spectra, samples and the look at the end cost nothing."""
    game = SmoothGan(batch=3)
    for name, options, gradients, products in [
        ("simgd", {}, 1, 0),
        ("extragradient", {}, 2, 0),
        ("altgd", {"repeats": 2}, 4, 0),
        ("conopt", {}, 1, 1),
        ("jare", {}, 1, 2),
    ]:
        out = tmp_path / name
        cp.run(game, cp.make("solver", name, **options), steps=3, out=out, spectrum_every=2, trace=False)
        log = cp.open_log(out)
        draws = 4 if name == "altgd" else 1
        assert log["step/gradients"].tolist() == [gradients * k for k in (1, 2, 3, 3)], name
        assert log["step/products"].tolist() == [products * k for k in (1, 2, 3, 3)], name
        assert log["step/samples"].tolist() == [3 * draws * k for k in (1, 2, 3, 3)], name


def test_inner_solves_are_in_the_log(tmp_path):
    cp.run(
        SmoothGan(cp.make("loss", "saturating"), 3),
        cp.make("solver", "cgd", lr=0.5, method="cg"),
        steps=3,
        out=tmp_path / "run",
    )
    log = cp.open_log(tmp_path / "run")
    k = log["step/inner_iterations"][:3]
    assert (
        (k > 0).all()
        and (log["step/inner_residual"][:3] <= 1e-10).all()
        and (log["step/inner_converged"][:3] == 1).all()
    )
    assert log["step/products"][:3].tolist() == np.cumsum(2 * k + 1).tolist()


def test_progress_is_told(tmp_path):
    told = []
    cp.run(
        QUADRATIC,
        simgd(CONVERGES),
        steps=3,
        progress=lambda done, steps, losses: told.append((done, steps, set(losses))),
    )
    assert told == [(1, 3, {"x", "y"}), (2, 3, {"x", "y"}), (3, 3, {"x", "y"})]


def test_a_run_without_a_directory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cp.run(QUADRATIC, simgd(), steps=2, spectrum_every=1, checkpoint_every=1)
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------- seeds, starts, members


def test_the_seed_decides():
    game, solver = SmoothGan(batch=3), cp.make("solver", "altgd", lr=0.1, rule="adam")
    torch.manual_seed(1)
    a = cp.run(game, solver, steps=3, seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    b = cp.run(game, solver, steps=3, seed=4)
    assert identical((a.params, a.memory), (b.params, b.memory))
    assert torch.equal(before, torch.get_rng_state()), "global random numbers are left alone"
    assert not identical(a.params, cp.run(game, solver, steps=3, seed=5).params)


def test_a_step_is_a_function_of_the_state():
    """draw() replayed from the generators' states gives the same batches."""
    table = Prepared(SmoothGan(batch=3))
    one = torch.ones(())
    state = State(0, {}, {}, {}, (generator(3).get_state(),), one.bool(), one)
    assert identical(table.draw(state.generators(), {}), table.draw(state.generators(), {}))


START = {"x": {"value": torch.tensor([0.5])}, "y": {"value": torch.tensor([-2.0])}}


def test_a_start_is_taken_in_the_precision_of_the_game():
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=START)
    close(ravel(seen[0].params), torch.tensor([0.5, -2.0], dtype=F64))
    _, seen = watched(QUADRATIC, simgd(), steps=1, start={"y": START["y"], "x": START["x"]}, dtype="float32")
    assert ravel(seen[0].params).tolist() == [0.5, -2.0] and ravel(seen[0].params).dtype == torch.float32
    assert list(seen[0].params) == ["x", "y"], "in the game's order"


def test_a_start_is_one_for_all_members_or_one_each():
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=START, members=3)
    assert ravel(seen[0].params, True).tolist() == [[0.5, -2.0]] * 3
    each = {i: {"value": torch.arange(3.0).reshape(3, 1)} for i in "xy"}
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=each, members=3)
    assert ravel(seen[0].params, True).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_start_is_copied():
    start = tmap(torch.clone, START)
    result = cp.run(QUADRATIC, simgd(), steps=0, start=start, dtype="float32")
    start["x"]["value"].zero_()
    assert result.params["x"]["value"] == 0.5


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"x": START["x"]}, "y/value is missing"),
        ({**START, "z": START["x"]}, "z/value has shape.*no such tensor"),
        ({"x": {"value": torch.zeros(2)}, "y": START["y"]}, r"x/value has shape \(2,\), shape \(1,\)"),
        ({"x": {"w": torch.zeros(1)}, "y": START["y"]}, "x/value is missing"),
    ],
)
def test_a_start_that_does_not_fit_is_a_sentence(start, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.run(QUADRATIC, simgd(), steps=1, start=start)


def test_a_start_for_the_wrong_number_of_members():
    with pytest.raises(cp.UsageError, match=r"x/value has shape \(2, 1\), shape \(3, 1\)"):
        cp.run(QUADRATIC, simgd(), steps=1, start={i: {"value": torch.zeros(2, 1)} for i in "xy"}, members=3)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": -1},
        {"steps": 1.5},
        {"members": 0},
        {"every": 0},
        {"dtype": "float16"},
        {"spectrum_every": -1},
        {"checkpoint_every": -2},
    ],
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(cp.UsageError):
        cp.run(QUADRATIC, simgd(), **{"steps": 1, **options})


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
def test_a_member_is_the_run_alone(name):
    """Bit for bit where operations are elementwise: member m is the run of seed + m."""
    solver = cp.make("solver", name, lr=0.02)
    many = cp.run(QUADRATIC, solver, steps=4, seed=7, members=3)
    for m in range(3):
        alone = cp.run(QUADRATIC, solver, steps=4, seed=7 + m)
        if name in ("cgd", "acgd"):
            close_trees(member(many.params, m), alone.params, 1e-13)
        else:
            assert identical(member(many.params, m), alone.params)
    assert many.diverged == ()


def test_a_member_of_a_game_that_draws_is_the_run_alone():
    game = SmoothGan(batch=3)
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "gradient-penalty")]
    solver = simgd(0.1, rule="rmsprop")
    many = cp.run(game, solver, steps=3, seed=7, members=2, regularizers=regularizers)
    for m in range(2):
        close_trees(
            member(many.params, m), cp.run(game, solver, steps=3, seed=7 + m, regularizers=regularizers).params, 1e-8
        )


def test_members_that_diverge_stand_where_they_last_were_and_the_others_go_on():
    """A stability map: step sizes from safe to absurd. Each frozen member is the run alone, cut short."""
    lr = {"x": [0.09, 0.01, 0.09, 3.0], "y": [0.01, 0.09, 0.01, 3.0]}
    solver = simgd(lr, rule={"name": "momentum", "beta": 0.1})
    result, seen = watched(QUADRATIC, solver, steps=400, members=4, blowup=1e4)
    assert (result.status, result.steps, result.diverged) == ("max_steps", 400, (1, 3))
    for m in range(4):
        alone = cp.run(
            QUADRATIC, simgd({i: x[m] for i, x in lr.items()}, rule=solver.rule), steps=400, seed=m, blowup=1e4
        )
        assert identical(member(result.params, m), alone.params)
        assert (alone.status == "diverged") == (m in (1, 3)) and (m in (0, 2) or alone.steps < 400)
        assert identical(member(result.memory, m), alone.memory)
    norms = np.stack([np.linalg.norm(s.figures.parameter_norms, axis=-1) for s in seen])
    assert np.isfinite(norms).all() and len(set(norms[-100:, 3])) == 1 < len(set(norms[-100:, 0]))
    np.testing.assert_allclose(norms[-1], ravel(result.params, True).norm(dim=1).numpy())


def test_a_run_is_over_when_the_last_member_is():
    result = cp.run(QUADRATIC, simgd([0.05, 0.2, 0.5]), steps=5000, members=3, blowup=1e4)
    assert result.status == "diverged" and result.diverged == (0, 1, 2) and result.steps < 5000
    assert (ravel(result.params, True).norm(dim=1) < 1e6).all()


def test_the_default_bound_is_each_member_s_own():
    start = {i: {"value": torch.tensor([[1.0], [1e31]])} for i in "xy"}
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=3, start=start, members=2).diverged == ()
    assert cp.run(QUADRATIC, simgd(CONVERGES), steps=3, start=start, members=2, blowup=1e30).diverged == (1,)


def test_an_ensemble_has_converged_when_every_member_has():
    solver = simgd({"x": [0.09, 0.05], "y": 0.01})
    both = cp.run(QUADRATIC, solver, steps=5000, members=2, until="gradient_norm<1e-3")
    alone = [
        cp.run(QUADRATIC, simgd({"x": x, "y": 0.01}), steps=5000, seed=m, until="gradient_norm<1e-3").steps
        for m, x in enumerate((0.09, 0.05))
    ]
    assert both.status == "converged" and both.steps >= max(alone)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"game": "quadratic"}, "not a game object"),
        ({"solver": "simgd"}, "not a solver object"),
        ({"regularizers": ["l2"]}, "not a regularizer object"),
        ({"start": [1, 2]}, "start is list"),
        ({"seed": None}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"steps": True}, "steps must be"),
        ({"blowup": "a"}, "blowup must be"),
        ({"blowup": -1.0}, "blowup must be"),
    ],
)
def test_a_slip_is_a_sentence(given, words):
    asked = {"game": QUADRATIC, "solver": simgd(CONVERGES), "steps": 2, **given}
    with pytest.raises(cp.UsageError, match=words):
        cp.run(asked.pop("game"), asked.pop("solver"), **asked)


# ---------------------------------------------------------------------------------------------------------------- trace


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
@pytest.mark.parametrize("members", [None, 2])
def test_a_traced_run_is_the_eager_run(name, members):
    game = cp.make("game", "affine-gaussian", batch=5, loss="non-saturating")
    rule = {} if name in ("cgd", "acgd") else {"rule": {"name": "rmsprop", "eps": 0.01}}
    solver = cp.make("solver", name, lr=0.02, **rule)
    runs = [cp.run(game, solver, steps=5, members=members, trace=trace) for trace in (False, True)]
    close_trees(runs[1].params, runs[0].params, 1e-12)


def test_a_traced_run_of_a_network_with_normalisation_and_penalties():
    regularizers = [cp.make("regularizer", "spectral-norm"), cp.make("regularizer", "r1", gamma=0.5)]
    runs = [
        cp.run(
            SmoothGan(batch=3),
            cp.make("solver", "conopt", lr=0.02, gamma=0.1),
            steps=3,
            regularizers=regularizers,
            trace=trace,
        )
        for trace in (False, True)
    ]
    close_trees(runs[1].params, runs[0].params, 1e-10)


def test_traced_and_eager_runs_see_and_cost_the_same(tmp_path):
    logs = []
    for trace in (False, True):
        out = tmp_path / str(trace)
        cp.run(
            QUADRATIC, cp.make("solver", "cgd", lr=0.1, method="cg"), steps=4, out=out, trace=trace, spectrum_every=2
        )
        logs.append(cp.open_log(out))
    for key in logs[0]:
        if not key.endswith("_seconds"):
            np.testing.assert_allclose(logs[1][key], logs[0][key], rtol=1e-12, atol=1e-14, err_msg=key)


def test_long_runs_are_traced_and_short_ones_are_not(monkeypatch):
    made = []

    def prepared(*args):
        made.append(Prepared(*args))
        return made[-1]

    monkeypatch.setattr(settings, "Prepared", prepared)
    for steps, trace in [(199, None), (200, None), (1000, False), (1, True)]:
        cp.run(QUADRATIC, simgd(CONVERGES), steps=steps, trace=trace, until="gradient_norm<1e9")
    assert [table.trace for table in made] == [False, True, False, True]


def test_results_carry_no_graph():
    result = cp.run(SmoothGan(batch=3), cp.make("solver", "acgd"), steps=2)
    assert not any(x.requires_grad for x in [*leaves(result.params), *leaves(result.memory["s"])])


def test_single_precision_is_single_all_the_way():
    result, seen = watched(SmoothGan(batch=3), simgd(0.1, rule="adam"), steps=2, dtype="float32")
    assert {x.dtype for x in leaves(result.params)} == {torch.float32}
    assert {x.dtype for x in seen[0].batch.values()} == {torch.float32}
