"""Weights of modules: where they start, who moves them, how they come back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import counterplay as cp

from ..support.cases import close, generator, identical, member, random, started
from ..support.own_modules import gan, networks, played


def test_the_start_is_the_modules_weights_and_they_stay():
    G, D = networks()
    before = {k: x.clone() for k, x in G.state_dict().items()}
    game = gan(G, D)
    params = game.init(generator())
    assert identical(params["generator"], {k: p.detach() for k, p in G.named_parameters()})
    cp.run(game, cp.make("solver", "simgd", lr=0.1), steps=2)
    assert identical(before, dict(G.state_dict())), "running statistics included"
    with torch.no_grad():
        G[0].weight.zero_()
    assert identical(game.init(generator()), params)


def test_weights_that_are_shared_stay_shared():
    shared = nn.Linear(2, 2).double()
    module = nn.Sequential(shared, nn.Tanh(), shared)
    game = cp.game_from_modules(
        {"a": module}, lambda nets, b: {"a": nets["a"](b["x"]).sum()}, lambda rng: {"x": random(3, 2)}
    )
    _, params, batch = started(game)
    assert set(params["a"]) == {"0.weight", "0.bias"}
    moved = {"a": {k: x + 1 for k, x in params["a"].items()}}
    with torch.no_grad():
        for p in shared.parameters():
            p.add_(1)
    close(game.losses(moved, batch)["a"], module(batch["x"]).sum().detach())


def test_losses_may_close_over_the_modules():
    """What they compute with are the players' present parameters, wherever they come from."""
    G, D = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
    z = random(3, 2)
    closed = lambda n, b: {"g": -D(G(b["z"])).mean(), "d": D(G(b["z"])).mean() + D.weight.square().sum()}  # noqa: E731
    named = lambda n, b: {  # noqa: E731
        "g": -n["d"](n["g"](b["z"])).mean(),
        "d": n["d"](n["g"](b["z"])).mean() + n["d"].weight.square().sum(),
    }
    solver = cp.make("solver", "simgd", lr=0.1)
    a, b = (
        cp.run(cp.game_from_modules({"g": G, "d": D}, f, lambda rng: {"z": z}), solver, steps=5)
        for f in (closed, named)
    )
    assert identical(a.params, b.params)
    assert float((a.params["d"]["weight"] - D.weight.detach()).abs().max()) > 0.1


def test_weights_of_two_players_are_refused():
    trunk = nn.Linear(2, 2)
    A, B = nn.Sequential(trunk, nn.Linear(2, 1)), nn.Sequential(trunk, nn.Linear(2, 1))
    with pytest.raises(cp.UsageError, match=r"a's 0.weight and b's 0.weight are one parameter"):
        cp.game_from_modules({"a": A, "b": B}, lambda n, b: {}, lambda rng: {})
    trunk.requires_grad_(False)
    game = cp.game_from_modules(
        {"a": A, "b": B},
        lambda n, b: {i: n[i](b["x"]).square().mean() for i in "ab"},
        lambda rng: {"x": torch.ones(3, 2)},
    )
    assert set(cp.run(game, cp.make("solver", "simgd"), steps=1).params["a"]) == {"1.weight", "1.bias"}


def test_frozen_weights_stay_and_are_nobody_s_strategy():
    first, last = nn.Linear(3, 3), nn.Linear(3, 1)
    net = nn.Sequential(first, last).double()
    first.requires_grad_(False)
    before = first.weight.clone()
    game = played(net)
    result = cp.run(game, cp.make("solver", "simgd", lr=0.1, rule="adamw"), steps=3)
    assert set(result.params["critic"]) == {"1.weight", "1.bias"}
    game.trained(result.params)
    assert identical(first.weight, before) and identical(last.weight.detach(), result.params["critic"]["1.weight"])


def test_trained_modules_carry_weights_and_statistics():
    """Running statistics are those of the data at the last point, not of the way there."""
    torch.manual_seed(0)
    x = random(64, 2) + 3
    norm = nn.BatchNorm1d(4)
    net = nn.Sequential(nn.Linear(2, 4), norm, nn.Linear(4, 1)).double()
    game = cp.game_from_modules(
        {"a": net}, lambda n, b: {"a": (n["a"](b["x"]) - 3).square().mean()}, lambda rng: {"x": x}
    )
    result = cp.run(game, cp.make("solver", "simgd", lr=0.05), steps=50)
    (found,) = game.trained(result.params).values()
    assert found is net and identical({k: p.detach() for k, p in net.named_parameters()}, result.params["a"])
    hidden = net[0](x).detach()
    assert norm.running_mean is not None and norm.running_var is not None
    close(norm.running_mean, hidden.mean(0), 1e-12)
    close(norm.running_var, hidden.var(0), 1e-12)
    assert norm.momentum == 0.1 and net.training


def test_trained_takes_the_parameters_of_one_run():
    game = played(nn.Linear(3, 3).double())
    many = cp.run(game, cp.make("solver", "simgd"), steps=1, members=2).params
    before = {k: x.clone() for k, x in game.modules["critic"].state_dict().items()}
    for params, told in ((many, r"a tensor of shape \(2, 3, 3\)"), ({"critic": {}}, "missing"), ({}, "missing")):
        with pytest.raises(cp.UsageError, match=rf"trained: critic/weight is {told}.*the parameters of one member"):
            game.trained(params)
    assert identical(before, dict(game.modules["critic"].state_dict()))
    game.trained(member(many, 1))
    assert identical(game.modules["critic"].weight.detach(), many["critic"]["weight"][1])


def test_the_mode_of_a_module_is_that_of_the_game():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    game = played(net)
    _, params, batch = started(game)
    before = game.losses(params, batch)["critic"]
    net.eval()
    close(game.losses(params, batch)["critic"], before)
    assert not net.training and not net[1].training


def test_a_result_hands_back_the_modules_with_what_it_trained():
    net = nn.Linear(3, 3).double()
    game = played(net)
    result = cp.run(game, cp.make("solver", "simgd"), steps=3, members=2)
    assert result.modules(1)["critic"] is net and identical(net.weight.detach(), result.params["critic"]["weight"][1])
    for m in (None, 2):
        with pytest.raises(cp.UsageError, match=f"modules: member is {m}, and the run has the members 0 to 1"):
            result.modules(m)
    other = cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=1)
    with pytest.raises(cp.UsageError, match="only games of game_from_modules have them"):
        other.modules()


def test_modules_handed_back_are_those_that_are_shown():
    """With the regularizer ema the averages over all points, as its formula has them."""
    net, points = nn.Linear(3, 3, bias=False).double(), []
    ema = cp.make("regularizer", "ema", decay=0.5, player="critic")
    watch = [lambda seen: points.append(seen.params["critic"]["weight"])]
    solver = cp.make("solver", "simgd", lr=0.1)
    result = cp.run(played(net), solver, steps=3, regularizers=[ema], observers=watch)
    average = sum(0.5**k * x for k, x in enumerate(reversed(points))) * 0.5 / (1 - 0.5 ** len(points))
    close(result.modules()["critic"].state_dict()["weight"], average, 1e-12)
    assert not identical(average, points[-1])


def test_modules_of_a_run_that_has_ended_are_those_that_the_run_handed_back(tmp_path):
    net = nn.Linear(3, 3, bias=False).double()
    game, solver, ema = played(net), cp.make("solver", "simgd", lr=0.1), cp.make("regularizer", "ema", player="critic")
    first = cp.run(game, solver, steps=3, regularizers=[ema], out=tmp_path / "run").modules()["critic"]
    weight = first.state_dict()["weight"].clone()
    nn.init.zeros_(net.weight)
    again = cp.resume(tmp_path / "run", game=game, solver=solver, regularizers=[ema])
    assert identical(again.modules()["critic"].state_dict()["weight"], weight)
    last = game.trained(cp.load_params(tmp_path / "run"))["critic"].state_dict()["weight"]
    assert not identical(last, weight), "the last point is none of the averages"
    other = cp.resume(tmp_path / "run", game=game, solver=solver, regularizers=[], allow_inexact=True)
    for result in (cp.resume(tmp_path / "run"), other):
        with pytest.raises(cp.UsageError, match="resume needs its game, solver and regularizers"):
            result.modules()
