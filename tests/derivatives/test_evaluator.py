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
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import add, ravel, scale

from ..support.cases import F64, close, close_trees, difference, direction_like, random, started

X = random(6, 4)
START = {"a": {"w": random(4, 4, seed=1), "g": 1 + 0.1 * random(4, seed=2), "o": random(4, seed=3)}}
mean, var = 0.1 * random(4, seed=4), 1 + random(4, seed=5).square()

# Each with weights g of one number a channel, on (6, 4).
FUSED = {
    "F.batch_norm": lambda h, g: F.batch_norm(h, None, None, g, None, True),
    "F.batch_norm, running": lambda h, g: F.batch_norm(h, mean, var, g, None, False),
    "torch.batch_norm": lambda h, g: torch.batch_norm(h, g, None, None, None, True, 0.1, 1e-3, True),
    "F.instance_norm": lambda h, g: F.instance_norm(h.reshape(3, 2, 4), weight=g[:2]).reshape(6, 4),
    "F.layer_norm": lambda h, g: F.layer_norm(h, (4,), g),
    "torch.layer_norm": lambda h, g: torch.layer_norm(h, (4,), g, None, 1e-3),
    "aten.layer_norm": lambda h, g: torch.ops.aten.layer_norm(h, (4,), g),
    "aten.layer_norm.default": lambda h, g: torch.ops.aten.layer_norm.default(h, (4,), g),
    "F.group_norm": lambda h, g: F.group_norm(h, 2, g),
    "F.rms_norm": lambda h, g: F.rms_norm(h, (4,), g),
    "torch._weight_norm": lambda h, g: torch._weight_norm(h, g[:, None].repeat(2, 1)[:6], 0),
    "attention": lambda h, g: F.scaled_dot_product_attention(h[None], (g * h)[None], h[None])[0],
    "causal attention": lambda h, g: F.scaled_dot_product_attention(h[None], (g * h)[None], h[None], is_causal=True)[0],
    "multi_head_attention": lambda h, g: F.multi_head_attention_forward(
        h,
        h,
        h,
        4,
        2,
        torch.cat([h[:4], h[:4] * g, h[:4]]),
        None,
        None,
        None,
        False,
        0.0,
        g.diag(),
        None,
        need_weights=False,
    )[0],
}


def field(f):
    """A game of one player with ``f`` in the middle."""
    return cp.game_from_losses(
        lambda p, b: {"a": (f(X @ p["a"]["w"], p["a"]["g"]).tanh() @ p["a"]["o"]).pow(3).mean()}, START
    )


def error(game, members=None, trace=False):
    """The error of J u against differences of v, relative to its largest number."""
    table, params, batch = started(game, members=members, trace=trace)
    if members:
        params = add(params, scale(direction_like(params, 1), torch.arange(members, dtype=F64) / 10))
    local, u = LocalGame.of(table, params, batch), direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient(), members is not None), params, u)
    return float((ravel(local.jacobian().mv(u), members is not None) - slope).abs().max() / slope.abs().max())


@pytest.mark.parametrize("name", FUSED)
def test_fused_functions_have_right_derivatives(name):
    """torch's own are wrong by 2 to 90 % for members and in third derivatives, or have none."""
    game = field(FUSED[name])
    leaves = {k: x.clone().requires_grad_() for k, x in START["a"].items()}
    loss = (FUSED[name](X @ leaves["w"], leaves["g"]).tanh() @ leaves["o"]).pow(3).mean()
    v = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    local = LocalGame.of(*started(game))
    close(local.losses()["a"], loss.detach(), 1e-12)
    close_trees(local.gradient(), {"a": v}, 1e-11)
    assert error(game) < 1e-6 and error(game, members=3) < 1e-6 and error(game, trace=True) < 1e-6
    assert error(regularized(game, cp.make("regularizer", "consensus"))) < 1e-6


# Written out for their second derivatives or for members, and torch's own names of the arguments.
ALSO = {
    "torch.layer_norm by name": lambda h, g: torch.layer_norm(input=h, normalized_shape=(4,), weight=g),
    "torch.batch_norm by name": lambda h, g: torch.batch_norm(
        input=h, weight=g, bias=None, running_mean=None, running_var=None, training=True, momentum=0.1, eps=1e-5,
        cudnn_enabled=False,
    ),
    "cdist": lambda h, g: torch.cdist(h, h[:4] * g),
    "cdist to itself": lambda h, g: torch.cdist(g * h, g * h)[:, :4],
    "cdist of norm 1": lambda h, g: torch.cdist(h.sin(), h[:4].cos() + 9 * g, p=1.0) / 9,
    "cdist of norm 3": lambda h, g: torch.cdist(h, h[:4] * g, p=3.0),
    "rrelu at rest": lambda h, g: F.rrelu(g * h),
}  # fmt: skip


@pytest.mark.parametrize("name", ALSO)
def test_other_functions_written_out_have_right_derivatives(name):
    game = field(ALSO[name])
    leaves = {k: x.clone().requires_grad_() for k, x in START["a"].items()}
    loss = (ALSO[name](X @ leaves["w"], leaves["g"]).tanh() @ leaves["o"]).pow(3).mean()
    v = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    local = LocalGame.of(*started(game))
    close(local.losses()["a"], loss.detach(), 1e-12)
    close_trees(local.gradient(), {"a": v}, 1e-11)
    assert error(game, members=2) < 1e-6


def test_a_sparse_gradient_is_played_as_a_dense_one():
    def v(sparse):
        look_up = lambda h, g: h * F.embedding(torch.tensor([0, 1, 1, 3, 2, 0]), h[:4] * g, sparse=sparse)  # noqa: E731
        return LocalGame.of(*started(field(look_up))).gradient()

    close_trees(v(True), v(False))


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda h: F.embedding_bag(torch.tensor([[0, 1], [2, 3]]), h), "torch cannot differentiate as often as this"),
        (lambda h: torch.utils.checkpoint.checkpoint(torch.sin, h, use_reentrant=False), "use saved tensor hooks"),
        (lambda h: h * h.detach().numpy().sum(), r"take numbers out of a tensor \(numpy, tolist\)"),
        (lambda h: torch.func.linearize(torch.sin, h)[1](h), "call torch.func.linearize.*use torch.func.jvp"),
        (lambda h: torch.nn.Linear(4, 4, dtype=F64)(h), r"initialise weights \(kaiming_uniform_\)"),
        (lambda h: h.clone().detach_(), r"detach a tensor in place: use detach\(\)"),
        (lambda h: setattr(h, "data", 2 * h.data), "write to the data of a tensor"),
    ],
)
def test_what_torch_cannot_do_is_told_in_a_sentence(f, words):
    local = LocalGame.of(*started(field(lambda h, g: f(h))))
    with pytest.raises(cp.UserError, match=words):
        local.jacobian().mv(local.params)


@pytest.mark.parametrize("name", ["native_layer_norm", "native_group_norm"])
def test_internal_kernels_are_refused(name):
    calls = {
        "native_layer_norm": lambda h: torch.native_layer_norm(h, (4,), None, None, 1e-5)[0],
        "native_group_norm": lambda h: torch.native_group_norm(h, None, None, 6, 4, 1, 2, 1e-5)[0],
    }
    with pytest.raises(cp.UsageError, match=f"call torch's internal {name}.*use torch.nn.functional"):
        LocalGame.of(*started(field(lambda h, g: calls[name](h)))).gradient()


def test_one_hot_is_played_by_members():
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    game = field(lambda h, g: h * F.one_hot(labels, 4).to(h))
    assert error(game, members=2) < 1e-6


# ------------------------------------------------------------------------------------------------- what v holds fixed


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


# ---------------------------------------------------------------------------------------------------- what is refused

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
