"""Losses are evaluated with right derivatives whatever torch functions they are made of, and v is plain autograd's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel

from ..support.cases import F64, close, close_trees, difference, direction_like, random, started
from ..support.functions import X, error, field


def test_a_sparse_gradient_is_played_as_a_dense_one():
    def v(sparse):
        look_up = lambda h, g: h * F.embedding(torch.tensor([0, 1, 1, 3, 2, 0]), h[:4] * g, sparse=sparse)  # noqa: E731
        return LocalGame.of(*started(field(look_up))).gradient()

    close_trees(v(True), v(False))


def in_no_grad(x):
    with torch.no_grad():
        with torch.no_grad():
            y = x * 2
        return (y * y).sin()


@torch.no_grad()
def decorated(x):
    return x.sin()


def switched(x):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    y = x.sin()
    torch.set_grad_enabled(before)
    return y


def inside_a_gradient(x):
    return torch.func.grad(lambda z: (z.detach() * z.sin()).sum())(x)


CUTS = {
    "detach": lambda x: x.sin().detach(),
    "data": lambda x: x.sin().data,
    "no_grad": in_no_grad,
    "decorated": decorated,
    "set_grad_enabled": switched,
    "stack": lambda x: torch.stack([x.detach(), x * 2]).sum(0).sin(),
    "inside a gradient": inside_a_gradient,
}
TWO = {"x": {"w": random(3, seed=1)}, "y": {"w": random(3, seed=2)}}


def cut_losses(cut, x, y):
    return {
        "x": (x.tanh() * y).sum() + (cut(x) * y * x).sum(),
        "y": -(cut(x) ** 2 * y.sin()).sum() + 300 * (cut(y) * y).sum(),
    }


@pytest.mark.parametrize("members", [None, 2], ids=["single", "members"])
@pytest.mark.parametrize("trace", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("name", CUTS)
def test_what_is_detached_is_fixed_in_v_and_moves_in_j(name, trace, members):
    """v is plain autograd's, J is the derivative of that v: of what is played."""
    cut = CUTS[name]
    game = cp.game_from_losses(lambda p, b: cut_losses(cut, p["x"]["w"], p["y"]["w"]), TWO)
    table, params, batch = started(game, members=members, trace=trace)
    local, ensemble = LocalGame.of(table, params, batch), members is not None
    one = {i: t["w"].clone().requires_grad_() for i, t in TWO.items()}
    if name == "inside a gradient":  # what is detached inside is fixed for v, too
        plain = cut_losses(lambda z: z.detach() * z.cos(), one["x"], one["y"])
    else:
        plain = cut_losses(cut, one["x"], one["y"])
    for i, x in one.items():
        (g,) = torch.autograd.grad(plain[i], x, retain_graph=True)
        close(local.gradient()[i]["w"].reshape(members or 1, -1), g.expand(members or 1, -1), 1e-12)
    J, u, w = local.jacobian(), direction_like(params, 2), direction_like(params, 3)
    slope = difference(lambda p: ravel(local.at(p).gradient(), ensemble), params, u)
    close(ravel(J.mv(u), ensemble), slope, 1e-6 * float(slope.abs().max()))
    close(local.dot(J.mv(u), w), local.dot(u, J.rmv(w)), 1e-8)


def test_f_of_a_game_with_detached_parts_tells_how_it_is_played():
    """x y with x detached for y is the same game, and F' of it the same: |theta| grows by rho(F') a step."""
    start = {i: {"w": torch.tensor(1.0, dtype=F64)} for i in "xy"}
    game = cp.game_from_losses(
        lambda p, b: {"x": p["x"]["w"] * p["y"]["w"], "y": -p["x"]["w"].detach() * p["y"]["w"]}, start
    )
    solver = cp.make("solver", "simgd", lr=0.1)
    rho = torch.linalg.eigvals(cp.update_jacobian(game, solver, start)).abs().max()
    result = cp.run(game, solver, steps=100)
    grown = torch.stack([result.params[i]["w"] for i in "xy"]).norm() / 2**0.5
    close(rho**100, grown, 1e-9)
    assert result.checks["jacobian"]["status"] == "agrees"


def test_derivatives_inside_no_grad_are_refused():
    def cut(x):
        with torch.no_grad():
            return torch.func.grad(lambda z: z.sin().sum())(x)

    game = cp.game_from_losses(lambda p, b: cut_losses(cut, p["x"]["w"], p["y"]["w"]), TWO)
    with pytest.raises(cp.UsageError, match=r"take derivatives inside torch.no_grad: take them outside"):
        cp.run(game, cp.make("solver", "simgd"), steps=1)


def test_no_grad_of_the_losses_ends_with_them():
    def forgets(x):
        torch.set_grad_enabled(False)
        return x

    game = cp.game_from_losses(lambda p, b: cut_losses(forgets, p["x"]["w"], p["y"]["w"]), TWO)
    assert torch.is_grad_enabled()
    Evaluator(game).losses(TWO, {})
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("members", [None, 2], ids=["single", "members"])
def test_batch_normalisation_through_functional_call_is_played(members):
    """Its count of calls, a buffer that nobody reads, is left as it is."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(3)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), norm, torch.nn.Tanh()).double()
    start = {"a": {k: p.detach().clone() for k, p in net.named_parameters()}}
    call = lambda p, b: torch.func.functional_call(net, p["a"], (X,)).pow(3).mean()  # noqa: E731
    game = cp.game_from_losses(lambda p, b: {"a": call(p, b)}, start)
    v = LocalGame.of(*started(game, members=members)).gradient()["a"]
    assert error(game, members=members) < 1e-6 and norm.num_batches_tracked == 0
    plain = torch.autograd.grad(net(X).pow(3).mean(), list(net.parameters()))
    for x, g in zip(v.values(), plain, strict=True):
        close(x, g.expand_as(x), 1e-12)


OWN = torch.Generator().manual_seed(0)
DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "rand_like": torch.rand_like,
    "randn": lambda x: torch.randn(3, dtype=F64),
    "randn_like": torch.randn_like,
    "normal": lambda x: torch.normal(x.detach(), 1.0),
    "normal_": lambda x: torch.empty_like(x.detach()).normal_(),
    "bernoulli": lambda x: torch.bernoulli(torch.full((3,), 0.5, dtype=F64)),
    "dropout": lambda x: F.dropout(x, 0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "exponential_": lambda x: F.gumbel_softmax(x, tau=1.0),
    "rand": lambda x: torch.rand(3, generator=OWN, dtype=F64),
    "randint": lambda x: torch.randint(3, (3,)),
    "randperm": lambda x: x[torch.randperm(3)],
    "multinomial": lambda x: torch.multinomial(torch.ones(3), 1),
    "rrelu_with_noise": lambda x: F.rrelu(x - 9, training=True),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(
        x.expand(1, 2, 3), x.expand(1, 2, 3), x.expand(1, 2, 3), dropout_p=0.5
    ).sum(),
}


@pytest.mark.parametrize("members", [None, 2], ids=["single", "members"])
@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_in_losses_are_refused(name, members):
    """They would be others in every evaluation: v and J u would be of different functions."""
    game = cp.game_from_losses(lambda p, b: cut_losses(lambda x: x * DRAWS[name](x), p["x"]["w"], p["y"]["w"]), TWO)
    before = torch.get_rng_state()
    with pytest.raises(cp.UsageError, match=r"draw random numbers.*draw them in sample"):
        cp.run(game, cp.make("solver", "simgd"), steps=1, members=members)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "still", [lambda x: F.dropout(x, 0.5, training=False), lambda x: F.dropout(x, 0.0), lambda x: F.rrelu(x)]
)
def test_functions_that_could_draw_and_do_not_are_played(still):
    game = cp.game_from_losses(lambda p, b: cut_losses(still, p["x"]["w"], p["y"]["w"]), TWO)
    assert cp.run(game, cp.make("solver", "simgd"), steps=1).checks["jacobian"]["status"] == "agrees"


def by_autograd(x):
    z = x.detach().requires_grad_()
    return torch.autograd.grad(z.sin().sum(), z, create_graph=True)[0]


def by_flag(x):
    z = torch.ones(3, dtype=F64)
    z.requires_grad = True
    return z * x


def by_backward(x):
    x.sum().backward()
    return x


@pytest.mark.parametrize("how", [by_autograd, by_flag, by_backward])
def test_torch_autograd_in_losses_is_refused_with_what_to_do(how):
    game = cp.game_from_losses(lambda p, b: cut_losses(how, p["x"]["w"], p["y"]["w"]), TWO)
    with pytest.raises(cp.UsageError, match=r"torch.func.grad\(lambda x: D\(x\).sum\(\)\)\(x\)"):
        cp.run(game, cp.make("solver", "simgd"), steps=1)


@pytest.mark.parametrize("how", [lambda x: x[x > 0].sum(), lambda x: x * len(torch.unique(x))])
def test_members_cannot_have_shapes_that_differ(how):
    game = cp.game_from_losses(lambda p, b: cut_losses(how, p["x"]["w"], p["y"]["w"]), TWO)
    with pytest.raises(cp.UserError, match="use an operation that torch cannot do for all members at once"):
        cp.run(game, cp.make("solver", "simgd"), steps=1, members=2)


def test_members_cannot_look_at_numbers():
    game = cp.game_from_losses(lambda p, b: cut_losses(lambda x: x * x.sum().item(), p["x"]["w"], p["y"]["w"]), TWO)
    with pytest.raises(cp.UserError, match=r"look at a number in a tensor"):
        cp.run(game, cp.make("solver", "simgd"), steps=1, members=2)
