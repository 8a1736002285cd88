"""Step rules against torch.optim, and their derivatives."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import leaves
from counterplay.core.solver.safe_sqrt import safe_sqrt
from counterplay.core.solver.step_rules import RULES, Adam, Rule

from ..support.cases import F64, close, close_trees, identical, matrix_game, member, random, random_matrix

LR = 0.03
STEPS = 20
OPTIM = torch.optim
AGAINST = {
    "sgd": ("sgd", lambda p, lr: OPTIM.SGD(p, lr)),
    "momentum": ({"name": "momentum", "beta": 0.8}, lambda p, lr: OPTIM.SGD(p, lr, momentum=0.8)),
    "nesterov": (
        {"name": "momentum", "beta": 0.7, "nesterov": True},
        lambda p, lr: OPTIM.SGD(p, lr, momentum=0.7, nesterov=True),
    ),
    "rmsprop": ("rmsprop", lambda p, lr: OPTIM.RMSprop(p, lr)),
    "rmsprop with settings": (
        {"name": "rmsprop", "alpha": 0.9, "eps": 1e-3},
        lambda p, lr: OPTIM.RMSprop(p, lr, alpha=0.9, eps=1e-3),
    ),
    "adam": ("adam", lambda p, lr: OPTIM.Adam(p, lr)),
    "adam with settings": (
        {"name": "adam", "betas": [0.5, 0.9], "eps": 1e-4},
        lambda p, lr: OPTIM.Adam(p, lr, betas=(0.5, 0.9), eps=1e-4),
    ),
    "adamw": (
        {"name": "adamw", "weight_decay": 0.2, "betas": [0.5, 0.99]},
        lambda p, lr: OPTIM.AdamW(p, lr, betas=(0.5, 0.99), weight_decay=0.2),
    ),
}


@pytest.mark.parametrize("name", AGAINST)
def test_a_rule_is_torch_optim_at_any_step_size(name):
    rule, optimiser = Rule.parse(AGAINST[name][0]), AGAINST[name][1]
    theta = {"a": random(3, 2, seed=1), "b": random(seed=2)}
    memory = rule.init(theta)
    theirs = [x.clone().requires_grad_() for x in theta.values()]
    optim = optimiser(theirs, LR)
    for k in range(STEPS):
        g = {"a": (k + 1) ** 0.5 * random(3, 2, seed=10 + k), "b": random(seed=40 + k)}
        step, memory = rule.step(g, memory, theta)
        theta = {n: theta[n] - LR * step[n] for n in theta}
        for p, x in zip(theirs, g.values(), strict=True):
            p.grad = x.clone()
        optim.step()
        for x, p in zip(theta.values(), theirs, strict=True):
            torch.testing.assert_close(x, p.detach(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", AGAINST)
def test_a_game_played_with_a_rule_is_torch_optim_for_each_player(name):
    """The whole way through ``run``, with a step size of each player's own."""
    rule, optimiser = AGAINST[name]
    A = random_matrix((2, 3), 3)
    game = matrix_game(A, (2, 3), shift=random(5, seed=4))
    lr = {"p0": 0.03, "p1": 0.007}
    found = cp.run(game, cp.make("solver", "simgd", lr=lr, rule=rule), steps=STEPS).params
    start = game.init(torch.Generator())
    theirs = {i: start[i]["value"].clone().requires_grad_() for i in start}
    optims = {i: optimiser([x], lr[i]) for i, x in theirs.items()}
    for _ in range(STEPS):
        losses = game.losses({i: {"value": x} for i, x in theirs.items()}, {})
        grads = {i: torch.autograd.grad(losses[i], theirs[i], retain_graph=True)[0] for i in theirs}
        for i in theirs:
            theirs[i].grad = grads[i]
            optims[i].step()
    close_trees(found, {i: {"value": x.detach()} for i, x in theirs.items()})


@pytest.mark.parametrize("name", AGAINST)
def test_members_with_step_sizes_of_their_own(name):
    """Bit for bit: everything is elementwise here."""
    game, start = cp.make("game", "quadratic"), {i: {"value": random(1, seed=5)} for i in "xy"}
    make = lambda lr: cp.make("solver", "simgd", lr=lr, rule=AGAINST[name][0])  # noqa: E731
    many = cp.run(game, make([0.01, 0.02, 0.05]), steps=5, start=start, members=3).params
    for m, lr in enumerate([0.01, 0.02, 0.05]):
        assert identical(member(many, m), cp.run(game, make(lr), steps=5, start=start).params)


@pytest.mark.parametrize("rule", list(RULES))
def test_memory_is_tensors_zero_and_of_one_structure(rule):
    rule, theta = Rule.parse(rule), {"a": random(2)}
    memory = rule.init(theta)
    assert all(not x.any() for x in torch.utils._pytree.tree_leaves(memory))
    after = rule.step({"a": random(2, seed=1)}, memory, theta)[1]
    shapes = [
        [(k, tuple(x.shape), x.dtype) for k, x in torch.utils._pytree.tree_flatten_with_path(t)[0]]
        for t in (memory, after)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("rule", list(RULES))
def test_arguments_are_left_alone(rule):
    rule, theta, g = Rule.parse(rule), {"a": random(2)}, {"a": random(2, seed=1)}
    memory = rule.step(g, rule.init(theta), theta)[1]
    kept = torch.utils._pytree.tree_map(torch.clone, (g, memory, theta))
    rule.step(g, memory, theta)
    assert identical(kept, (g, memory, theta))


# -------------------------------------------------------------------------------------------------------- derivatives


def test_the_root_has_derivative_zero_at_zero():
    x = torch.tensor([0.0, 4.0], dtype=F64)
    assert torch.equal(torch.func.jacrev(safe_sqrt)(x), torch.diag(torch.tensor([0.0, 0.25], dtype=F64)))
    assert torch.equal(safe_sqrt(x), x.sqrt())
    with torch.no_grad():
        assert torch.equal(safe_sqrt(x), x.sqrt())


@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("solver", ["simgd", "altgd", "extragradient", "conopt"])
def test_the_update_s_derivative_is_finite_where_the_second_moment_is_zero(rule, solver):
    """At an equilibrium v = 0 and s = 0: the root of s has no derivative, and the spectrum must not be NaN."""
    game = cp.make("game", "quadratic")
    zero = {i: {"value": torch.zeros(1, dtype=F64)} for i in game.players}
    F = cp.update_jacobian(game, cp.make("solver", solver, rule=rule), zero)
    assert torch.isfinite(F).all() and F.any()


def test_tensorflow_s_rmsprop():
    """ms = .9 ms + .1 g^2 from ms = 1, and lr g / sqrt(ms + 1e-10): tf.train.RMSPropOptimizer's own words."""
    rule = Rule.parse("tf-rmsprop")
    assert rule == Rule.parse({"name": "tf-rmsprop", "decay": 0.9, "eps": 1e-10, "eps_inside": True, "initial": 1.0})
    theta = {"a": random(4, seed=3)}
    memory, ms = rule.init(theta), torch.ones(4, dtype=F64)
    assert not memory["s"]["a"].any() and not memory["t"].any()
    for k in range(30):
        g = {"a": random(4, seed=50 + k)}
        step, memory = rule.step(g, memory, theta)
        ms = 0.9 * ms + 0.1 * g["a"] ** 2
        torch.testing.assert_close(step["a"], g["a"] / (ms + 1e-10).sqrt(), rtol=1e-13, atol=0)


def test_the_second_moment_keeps_its_digits_in_float32():
    """Where gradients are small, what is left of the initial 1 must not round them away."""
    rule = Rule.parse("tf-rmsprop")
    theta = {"a": torch.zeros(1)}
    memory = rule.init(theta)
    for _ in range(400):
        step, memory = rule.step({"a": torch.full((1,), 1e-4)}, memory, theta)
    assert float(step["a"]) == pytest.approx(1e-4 / (1e-8 + 1e-10) ** 0.5, rel=1e-5)


def test_the_derivative_of_rmsprop_at_an_equilibrium():
    """F' = [[I - lr/eps J, 0], [0, alpha]]: Mescheder et al. 2017, supplement, Prop. 13, with s for each number."""
    A = random_matrix((1, 1), 6)
    rule = {"name": "rmsprop", "alpha": 0.75, "eps": 0.5}
    zero = {i: {"value": torch.zeros(1, dtype=F64)} for i in ("p0", "p1")}
    F = cp.update_jacobian(matrix_game(A), cp.make("solver", "simgd", lr=0.1, rule=rule), zero)
    eye = torch.eye(2, dtype=F64)
    close(F, torch.block_diag(eye - 0.1 / 0.5 * A, 0.75 * eye))


def test_the_derivative_of_adam_away_from_zero():
    """One player, theta and its two moments, against differences of the step itself."""
    game = matrix_game(torch.tensor([[1.3]], dtype=F64), shift=torch.tensor([0.4], dtype=F64))
    solver = cp.make("solver", "simgd", lr=0.2, rule={"name": "adam", "betas": [0.6, 0.8], "eps": 0.1})
    result = cp.run(game, solver, steps=3)
    F = cp.update_jacobian(game, solver, result.params, result.memory)

    def step(theta, m, s):
        rule = {"p0": {"m": {"value": m}, "s": {"value": s}, "t": result.memory["rule"]["p0"]["t"]}}
        params, memory, _ = solver.step(game, {"p0": {"value": theta}}, {"direction": {}, "rule": rule}, lambda: {})
        return torch.cat([*leaves(params), memory["rule"]["p0"]["m"]["value"], memory["rule"]["p0"]["s"]["value"]])

    own = result.memory["rule"]["p0"]
    at = torch.cat([result.params["p0"]["value"], own["m"]["value"], own["s"]["value"]])
    h = 1e-6
    for n in range(3):
        e = torch.zeros(3, dtype=F64)
        e[n] = h
        slope = (step(*(at + e).split(1)) - step(*(at - e).split(1))) / (2 * h)
        torch.testing.assert_close(F[:, n], slope, rtol=1e-7, atol=1e-8)


# -------------------------------------------------------------------------------------------------------------- names


def test_a_rule_is_a_name_a_table_or_a_rule():
    assert Rule.parse("adam") == Adam() == Rule.parse(Adam()) == Rule.parse({"name": "adam", "betas": [0.9, 0.999]})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("adm", "did you mean 'adam'"),
        ({"name": "adam", "beta": 0.5}, "no setting 'beta'"),
        ({"name": "adam", "betas": [0.5]}, "2 numbers"),
        ({"name": "adam", "betas": 0.5}, "2 numbers"),
        ({"name": "rmsprop", "alpha": "much"}, "a number"),
        ({"name": "rmsprop", "alpha": 0.7, "decay": 0.5}, "decay and alpha are one setting"),
        ({"name": "sgd", "beta": 0.5}, "none"),
    ],
)
def test_a_wrong_rule_is_a_sentence(value, words):
    with pytest.raises(cp.UsageError, match=words):
        Rule.parse(value)
