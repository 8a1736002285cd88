"""Strategy sets: every method ends where it should, or says that it knows none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel
from counterplay.plugins.solvers import register_solvers

from ..support.cases import F64, close, close_trees, identical, member, one_step

SOLUTION = torch.tensor([2 / 3, 1 / 3, 4 / 3, 0.0], dtype=F64)  # with multiplier 0 the second constraint is slack
REFUSING = (
    "conopt", "jare", "reg-generator-only", "reg-discriminator-only", "implicit-euler", "cgd", "acgd", "sga", "sos",
    "stackelberg", "follow-the-ridge", "hamiltonian",
)  # fmt: skip
PLAYING = [e.name for e in register_solvers() if e.name not in (*REFUSING, "best-response")]
OPTIONS: dict[str, dict[str, Any]] = {"altgd": {"repeats": {"primal": 1, "multiplier": 2}}}
RULES = {"sgd": 0.12, "momentum": 0.01, "adam": 0.01}


@dataclass(frozen=True)
class Lagrangian(cp.Game):
    """min over x, y of x^2 + 2 y^2 subject to x + y >= 1 and x^2 + y <= 1, the multipliers at least 0."""

    players = ("primal", "multiplier")
    zero_sum = True

    def init(self, rng):
        x, y, a, b = torch.rand(4, generator=rng, dtype=F64)
        return {"primal": {"x": x, "y": y}, "multiplier": {"a": a, "b": b + 0.2}}

    def losses(self, params, batch):
        (x, y), (a, b) = params["primal"].values(), params["multiplier"].values()
        value = x**2 + 2 * y**2 + a * (1 - x - y) + b * (x**2 + y - 1)
        return {"primal": value, "multiplier": -value}

    def project(self, params):
        return {**params, "multiplier": {k: x.clamp(min=0) for k, x in params["multiplier"].items()}}


@dataclass(frozen=True)
class AtLeast(cp.Regularizer):
    """Every number of a player is at least 0."""

    player: str = "multiplier"

    def project(self, game, params):
        return {**params, self.player: {k: torch.relu(x) for k, x in params[self.player].items()}}


class Free(Lagrangian):
    """The same, nobody projecting."""

    project = cp.Game.project


def solved(solution=SOLUTION):
    x, y, a, b = solution
    return {"primal": {"x": x, "y": y}, "multiplier": {"a": a, "b": b}}


def solver(name, rule="sgd"):
    eps = {"eps": 0.01} if rule == "adam" else {}  # with less it makes steps of what rounding leaves of v
    known = {"rule": {"name": rule, **eps}} if rule != "sgd" else {}
    if name == "lookahead-minmax":
        return cp.make("solver", name, solver={"name": "extragradient", "lr": RULES[rule], **known})
    return cp.make("solver", name, lr=RULES[rule], **known, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", PLAYING)
def test_every_method_ends_at_the_constrained_solution(name):
    """Under two wrappers, the inner one projecting."""
    game = regularized(Free(), AtLeast(), cp.make("regularizer", "l2", player="primal", weight=0.0))
    result = cp.run(game, solver(name), steps=250, trace=False, start=solved(NEAR))
    close(ravel(result.params), SOLUTION, 1e-6)


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("name", PLAYING)
def test_it_rests_there_under_any_rule(name, rule):
    game, params = Evaluator.of(Lagrangian()), solved()
    made = solver(name, rule)
    memory = made.init(game, params)
    for _ in range(6):
        params, memory, _ = made.step(game, params, memory, dict)
        close(ravel(params), SOLUTION, 1e-9)


@pytest.mark.parametrize("name", REFUSING)
def test_a_method_that_knows_no_strategy_sets_says_so(name):
    params = solved()
    for made in (cp.make("solver", name), cp.make("solver", "lookahead-minmax", solver=name)):
        for game in (Lagrangian(), regularized(Free(), AtLeast(), cp.make("regularizer", "l2", player="primal"))):
            with pytest.raises(cp.UsageError, match=r"knows no strategy sets.*: \w+ .*Use simgd"):
                cp.run(game, made, steps=1)
            with pytest.raises(cp.UsageError, match="knows no strategy sets"):
                cp.update_jacobian(game, made, params)
    cp.run(Free(), cp.make("solver", name), steps=1)


def test_a_penalty_that_knows_no_strategy_sets_says_so():
    """Consensus optimisation is the same field as conopt's."""
    consensus = cp.make("regularizer", "consensus", gamma=0.1)
    for game, given in (
        (Lagrangian(), [consensus]),
        (Free(), [consensus, AtLeast()]),
        (Free(), [AtLeast(), consensus]),
    ):
        with pytest.raises(cp.UsageError, match="consensus knows no strategy sets"):
            cp.run(game, cp.make("solver", "simgd"), steps=1, regularizers=given)
    cp.run(Free(), cp.make("solver", "simgd"), steps=1, regularizers=[consensus])


def test_best_responses_stay_within_reach_of_the_set():
    """x heads for 2, which its set does not hold; the other knows that."""

    @dataclass(frozen=True)
    class Bounded(cp.Game):
        players = ("x", "y")

        def init(self, rng):
            return {i: {"value": torch.zeros(1, dtype=F64)} for i in self.players}

        def losses(self, params, batch):
            x, y = params["x"]["value"].sum(), params["y"]["value"].sum()
            return {"x": (x - 2) ** 2, "y": (y - x) ** 2}

        def project(self, params):
            return {i: {"value": t["value"].clamp(-0.5, 0.5)} for i, t in params.items()}

    for information in ("full", "local", "aware"):
        result = cp.run(Bounded(), cp.make("solver", "best-response", information=information), steps=3)
        close(result.params["x"]["value"], torch.tensor([0.5], dtype=F64))


def plain(game, params, players=("primal", "multiplier")):
    own = {i: {k: x.clone().requires_grad_() for k, x in t.items()} for i, t in params.items()}
    losses = game.losses(own, {})
    return {i: dict(zip(own[i], torch.autograd.grad(losses[i], [*own[i].values()], retain_graph=True), strict=True))
            for i in players}  # fmt: skip


def moved(params, v, lr):
    out = {i: {k: x - lr * v[i][k] if i in v else x for k, x in t.items()} for i, t in params.items()}
    return Lagrangian().project(out)


NEAR = torch.tensor([0.7, 0.4, 1.2, 0.003], dtype=F64)  # a step from here crosses the boundary


def test_the_points_looked_ahead_to_and_the_moves_of_each_player_are_projected():
    """By hand: Gidel et al. 2019, Alg. 2; Arjovsky et al. 2017, Alg. 1."""
    game, params, lr = Lagrangian(), solved(NEAR), 0.1
    extra = moved(params, plain(game, moved(params, plain(game, params), lr)), lr)
    close_trees(one_step(game, cp.make("solver", "extragradient", lr=lr), params), extra)
    after = moved(params, plain(game, params, ("primal",)), lr)
    for _ in range(3):
        after = moved(after, plain(game, after, ("multiplier",)), lr)
    repeats = {"primal": 1, "multiplier": 3}
    close_trees(one_step(game, cp.make("solver", "altgd", lr=lr, repeats=repeats), params), after)
    slow = fast = params
    for _ in range(2):
        fast = moved(fast, plain(game, fast), lr)
    mean = {i: {k: slow[i][k] + 0.5 * (x - slow[i][k]) for k, x in t.items()} for i, t in fast.items()}
    made = cp.make("solver", "lookahead-minmax", k=2, solver={"name": "simgd", "lr": lr})
    table, memory = Evaluator.of(game), made.init(game, params)
    for _ in range(2):
        params, memory, _ = made.step(table, params, memory, dict)
    close_trees(params, game.project(mean))


def test_steps_that_are_expected_of_opponents_end_where_their_sets_do():
    """The primal player's gradient through the multiplier's projected step, by torch.autograd."""
    game, lr = Lagrangian(), 0.1
    own = solved(NEAR)
    own["primal"] = {k: x.clone().requires_grad_() for k, x in own["primal"].items()}
    own["multiplier"] = {k: x.clone().requires_grad_() for k, x in own["multiplier"].items()}
    now = [*own["multiplier"].values()]
    v = torch.autograd.grad(game.losses(own, {})["multiplier"], now, create_graph=True)
    ahead = {k: (x - lr * g).clamp(min=0) for k, x, g in zip("ab", now, v, strict=True)}
    assert ahead["b"].item() == 0.0
    loss = game.losses({**own, "multiplier": ahead}, {})["primal"]
    expected = [
        x - lr * g
        for x, g in zip(own["primal"].values(), torch.autograd.grad(loss, [*own["primal"].values()]), strict=True)
    ]
    for name, options in (("unrolled", {"k": 1}), ("lola", {"exact": True})):
        found = one_step(game, cp.make("solver", name, lr=lr, **options), solved(NEAR))["primal"]
        close(torch.stack([*found.values()]), torch.stack(expected).detach())


def test_the_derivative_of_a_step_goes_through_every_projection():
    """F' of extragradient by central differences; a multiplier cut off at its bound has forgotten where it was."""
    game, made = Lagrangian(), cp.make("solver", "extragradient", lr=0.1)
    F = cp.update_jacobian(game, made, solved(NEAR))
    h = 1e-5
    columns = [
        (ravel(one_step(game, made, solved(NEAR + e))) - ravel(one_step(game, made, solved(NEAR - e)))) / (2 * h)
        for e in h * torch.eye(4, dtype=F64)
    ]
    close(F, torch.stack(columns, 1), 1e-9)
    assert not F[3].any()


@pytest.mark.parametrize("name", ["extragradient", "altgd", "ogda", "lookahead-minmax"])
def test_compiled_traced_resumed_and_ensemble_runs_agree(name, tmp_path):
    game, made = Lagrangian(), solver(name)
    whole = cp.run(game, made, steps=40, trace=False, compile=False)
    close_trees(cp.run(game, made, steps=40, compile=True).params, whole.params)
    close_trees(cp.run(game, made, steps=40, trace=True, compile=False).params, whole.params)
    many = cp.run(game, made, steps=40, members=3, trace=False, compile=False)
    close_trees(member(many.params, 0), whole.params, 1e-9)
    cp.run(
        game, made, steps=40, trace=False, compile=False, out=tmp_path / "r", stop=iter([False] * 23 + [True]).__next__
    )
    assert identical(cp.resume(tmp_path / "r", game=game, solver=made).params, whole.params)


def test_a_game_without_strategy_sets_is_asked_nothing():
    table = Evaluator.of(regularized(Free(), cp.make("regularizer", "l2", player="primal")))
    params = solved()
    assert not table.projects and table.project(params) is params
    assert Evaluator.of(regularized(Free(), AtLeast(), cp.make("regularizer", "l2", player="primal"))).projects


def test_a_projection_may_name_the_players_in_any_order():
    class Turned(Lagrangian):
        def project(self, params):
            return {i: dict(reversed(t.items())) for i, t in reversed(super().project(params).items())}

    a, b = (cp.run(game, solver("extragradient"), steps=20) for game in (Lagrangian(), Turned()))
    assert identical(a.params, b.params) and [*b.params] == ["primal", "multiplier"]
