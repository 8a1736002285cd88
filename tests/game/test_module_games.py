"""Games of torch modules are played as the modules are: values, derivatives, members."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import add, ravel, scale

from ..support.cases import F64, close, close_trees, difference, direction_like, member, random, started
from ..support.own_modules import MODULES, gan, networks, played


def layers(norm):
    return networks(norm1=nn.BatchNorm1d, norm2=norm)


@pytest.mark.parametrize("members", [None, 2], ids=["single", "ensemble"])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_modules_with_normalisation_have_right_derivatives(norm, members):
    """torch's own layers are wrong by 2 to 16 % in products of a vmapped field; ours are to rounding."""
    table, params, batch = started(gan(*layers(norm)), members=members)
    many = members is not None
    if many:  # members at different points
        params = add(params, scale(direction_like(params, 1), torch.tensor([0.0, 1.0], dtype=F64)))
    local = LocalGame.of(table, params, batch)
    J, u, w = local.jacobian(), direction_like(params, 2), direction_like(params, 3)
    close(ravel(J.mv(u), many), difference(lambda p: ravel(local.at(p).gradient(), many), params, u), 2e-8)
    close(local.dot(J.mv(u), w), local.dot(u, J.rmv(w)), 1e-10)


def twice(norm):
    return nn.Sequential(norm, nn.Tanh(), norm)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.LayerNorm(8),
        lambda: nn.LayerNorm((8,), elementwise_affine=False),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 8), dim=None),  # type: ignore[arg-type]
        lambda: twice(nn.BatchNorm1d(8)),
    ],
    ids=["layer norm", "layer norm without weights", "weight norm", "weight norm of all", "twice the same"],
)
def test_other_normalised_modules_have_right_third_derivatives(layer):
    """torch's layer_norm is wrong by up to 9 % in third derivatives, its weight_norm by more in second ones."""
    torch.manual_seed(0)
    made = layer().double()
    critic = nn.Sequential(nn.Linear(2, 8), made, nn.Tanh(), nn.Linear(8, 1)).double()
    x = random(5, 2)
    expected = critic(x).detach()
    game = cp.game_from_modules(
        {"a": critic}, lambda nets, b: {"a": nets["a"](b["x"]).pow(3).mean()}, lambda rng: {"x": x}
    )
    _, params, batch = started(game)
    close(game.losses(params, batch)["a"], expected.pow(3).mean())
    local = LocalGame.of(regularized(game, cp.make("regularizer", "consensus")), params, batch)
    u = direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient()), params, u)
    close(ravel(local.jacobian().mv(u)), slope, 1e-6 * float(slope.abs().max()))


def test_the_update_map_of_modules_has_right_third_derivatives():
    game = gan(*networks(), batch=3)
    _, params, batch = started(game)
    solver = cp.make("solver", "conopt", lr=0.1, gamma=0.2)
    F, u = cp.update_jacobian(game, solver, params, batch=batch), direction_like(params, 4)
    close(
        F @ ravel(u),
        difference(lambda p: ravel(solver.step(game, p, solver.init(game, p), lambda: batch)[0]), params, u, 3e-4),
        2e-7,
    )


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("options", [{}, {"eps": 0.1}], ids=["default eps", "eps 0.1"])
def test_the_game_plays_what_the_modules_compute(norm, options):
    torch.manual_seed(1)
    G, _ = networks()
    D = nn.Sequential(nn.Conv2d(1, 2, 3), norm(2, affine=True, **options), nn.Flatten(), nn.Linear(8, 1)).double()
    game = gan(G, D)
    _, params, batch = started(game)
    with torch.no_grad():
        fake = G(batch["noise"])
        close(game.losses(params, batch)["generator"], ((D(fake) - 1) ** 2).mean())
        expected = ((D(batch["real"]) - 1) ** 2).mean() + (D(fake) ** 2).mean()
    close(game.losses(params, batch)["discriminator"], expected)


def test_a_module_that_is_itself_a_normalisation():
    norm = nn.BatchNorm1d(2).double()
    game = cp.game_from_modules(
        {"a": norm}, lambda nets, b: {"a": nets["a"](b["x"]).pow(3).sum()}, lambda rng: {"x": random(5, 2)}
    )
    _, params, batch = started(game)
    close(game.losses(params, batch)["a"], norm(batch["x"]).pow(3).sum().detach())


def numbers_of(module, x, i="critic"):
    """The loss y^3 and its gradient by plain autograd, by the names of the parameters that move."""
    loss = module(x).pow(3).mean()
    named = {k: p for k, p in module.named_parameters() if p.requires_grad}
    return loss.detach(), {i: dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))}


def deepcopied(module):
    torch.manual_seed(3)
    for p in module.parameters():
        nn.init.normal_(p, std=0.7)
    return module.double()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("trace", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "traced"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_played_as_it_is(name, trace):
    """Loss and v are plain autograd's, J u the difference of v, after a first evaluation as before it."""
    module = deepcopied(MODULES[name]())
    x = random(6, 3)
    loss, v = numbers_of(module, x)
    game = played(module, x=x)
    table, params, batch = started(game, trace=trace)
    assert {k for k, p in module.named_parameters() if p.requires_grad} == set(params["critic"])
    for _ in range(2):
        local = LocalGame.of(table, params, batch)
        close(local.losses()["critic"], loss, 1e-12)
        close_trees(local.gradient(), v, 1e-11)
    u = direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient()), params, u)
    close(ravel(local.jacobian().mv(u)), slope, 1e-6 * float(slope.abs().max()))
    close(local.dot(local.jacobian().mv(u), v), local.dot(u, local.jacobian().rmv(v)), 1e-9)


@pytest.mark.parametrize(
    "name", ["batch norm", "batch norm in eval mode", "frozen layer", "weights in a list", "attention"]
)
def test_members_of_a_game_of_modules_are_single_runs(name):
    game, solver = played(deepcopied(MODULES[name]())), cp.make("solver", "conopt", lr=[0.01, 0.02], gamma=0.1)
    many = cp.run(game, solver, steps=3, members=2)
    for m, lr in enumerate([0.01, 0.02]):
        alone = cp.run(game, cp.make("solver", "conopt", lr=lr, gamma=0.1), steps=3)
        close_trees(member(many.params, m), alone.params, 1e-12)


def test_hooks_of_a_module_are_called():
    calls = []
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()
    net[1].register_forward_hook(lambda m, i, o: calls.append(1) or o.tanh())
    local = LocalGame.of(*started(played(net)))
    close(local.losses()["critic"], net(local.batch["x"]).pow(3).mean().detach())
    assert calls


def test_a_module_that_is_no_player_may_normalise():
    """Its count of calls is left as it is, and its running statistics."""
    net, judge = nn.Linear(3, 3).double(), nn.BatchNorm1d(3).double().requires_grad_(False)
    game = played(net, lambda y: judge(y).pow(3).mean() + y.sin().mean())
    local = LocalGame.of(*started(game))
    y = net(local.batch["x"])
    v = torch.autograd.grad(F.batch_norm(y, None, None, training=True).pow(3).mean() + y.sin().mean(), net.weight)[
        0
    ].detach()
    close(local.gradient()["critic"]["weight"], v, 1e-12)
    assert judge.num_batches_tracked == 0
    assert judge.running_mean is not None and not judge.running_mean.any()


@pytest.mark.parametrize("members", [None, 2])
def test_a_gradient_penalty_by_torch_func_through_a_module(members):
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double(), random(4, 2)

    def losses(nets, batch):
        g = torch.func.grad(lambda x: nets["d"](x).sum())(batch["x"])
        return {"d": g.square().sum(1).mean()}

    game = cp.game_from_modules({"d": net}, losses, lambda rng: {"x": x})
    table, params, batch = started(game, members=members)
    v = LocalGame.of(table, params, batch).gradient()["d"]
    here = x.clone().requires_grad_()
    g = torch.autograd.grad(net(here).sum(), here, create_graph=True)[0]
    expected = torch.autograd.grad(g.square().sum(1).mean(), list(net.parameters()), allow_unused=True)
    for (k, p), e in zip(net.named_parameters(), expected, strict=True):
        for m in range(members or 1):
            close(v[k] if members is None else v[k][m], torch.zeros_like(p) if e is None else e)
