"""Replayed programs give the numbers of the functions they were traced from, or are not used."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap
from torch.nn import functional as F
from torch.utils._pytree import tree_flatten, tree_map

from counterplay.core import trace
from counterplay.core.graph_capture import capture
from counterplay.core.graph_rules import A
from counterplay.core.nested import flatten
from counterplay.core.trace import Staged, staged, traced

Losses = Callable[[Any, Any], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def same(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    (x, shape), (y, expected) = tree_flatten(a), tree_flatten(b)
    assert shape == expected
    for p, q in zip(x, y, strict=True):
        if isinstance(q, Tensor):
            assert (p.shape, p.dtype) == (q.shape, q.dtype)
            torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            assert p == q


def renewed(x: Any) -> Any:
    """Other numbers, same shapes."""
    return tree_map(lambda t: torch.randn_like(t) if isinstance(t, Tensor) and t.is_floating_point() else t, x)


# ------------------------------------------------------------------------------------------------ the games


def linear(p: dict[str, Tensor], k: int, x: Tensor) -> Tensor:
    return F.linear(x, p[f"w{k}"], p[f"b{k}"])


def mlp(p: dict[str, Tensor], x: Tensor) -> Tensor:
    return linear(p, 2, torch.tanh(linear(p, 1, F.softplus(linear(p, 0, x)))))


def mlp_params(sizes: list[int]) -> dict[str, Tensor]:
    pairs = list(enumerate(zip(sizes[1:], sizes[:-1], strict=True)))
    return {f"w{k}": rand(o, i) / math.sqrt(i) for k, (o, i) in pairs} | {f"b{k}": rand(o) for k, (o, _) in pairs}


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    d = x - x.mean((0, 2, 3), keepdim=True)
    return d * torch.rsqrt((d * d).mean((0, 2, 3), keepdim=True) + 1e-5) * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)


def conv_generator(p: dict[str, Tensor], z: Tensor) -> Tensor:
    x = F.linear(z, p["fc"]).view(-1, 4, 2, 2)
    x = torch.relu(normalised(F.conv_transpose2d(x, p["c1"], None, 2, 1), p["g"], p["s"]))
    return torch.tanh(F.conv_transpose2d(x, p["c2"], p["b2"], 2, 1))


def conv_discriminator(p: dict[str, Tensor], x: Tensor) -> Tensor:
    x = F.leaky_relu(F.conv2d(x, p["c1"], p["b1"], 2, 1), 0.2)
    x = F.leaky_relu(F.conv2d(x, p["c2"], p["b2"], 2, 1), 0.2)
    return F.linear(x.flatten(1), p["fc"])


def gan(generate: Callable, discriminate: Callable) -> Losses:
    def losses(p: Any, batch: Any) -> dict[str, Tensor]:
        fake = generate(p["generator"], batch["noise"])
        on_fake, on_real = discriminate(p["discriminator"], fake), discriminate(p["discriminator"], batch["real"])
        return {
            "generator": F.softplus(-on_fake).mean(),
            "discriminator": F.softplus(-on_real).mean() + F.softplus(on_fake).mean(),
        }

    return losses


def quadratic(p: Any, batch: Any) -> dict[str, Tensor]:
    x, y = p["x"]["value"], p["y"]["value"]
    return {"x": 0.5 * x * x + 10.0 * x * y, "y": -10.0 * x * y + 0.5 * y * y}


def penalised(p: Any, batch: Any) -> dict[str, Tensor]:
    losses = gan(mlp, mlp)(p, batch)
    slope = grad(lambda x: mlp(p["discriminator"], x).sum())(batch["real"])
    return {**losses, "discriminator": losses["discriminator"] + (slope * slope).sum(1).mean()}


GAMES: dict[str, Callable[[], tuple[Losses, Any, Any]]] = {
    "mlp": lambda: (
        gan(mlp, mlp),
        {"generator": mlp_params([3, 5, 4, 2]), "discriminator": mlp_params([2, 6, 4, 1])},
        {"noise": rand(7, 3), "real": rand(7, 2), "labels": None, "kind": "ring"},
    ),
    "penalised": lambda: (
        penalised,
        {"generator": mlp_params([3, 5, 4, 2]), "discriminator": mlp_params([2, 6, 4, 1])},
        {"noise": rand(7, 3), "real": rand(7, 2)},
    ),
    "conv": lambda: (
        gan(conv_generator, conv_discriminator),
        {
            "generator": {
                "fc": rand(16, 3), "c1": rand(4, 3, 4, 4), "g": rand(3), "s": rand(3),
                "c2": rand(3, 1, 4, 4), "b2": rand(1),
            },
            "discriminator": {
                "c1": rand(3, 1, 4, 4), "b1": rand(3), "c2": rand(4, 3, 4, 4) / 7, "b2": rand(4), "fc": rand(1, 16),
            },
        },
        {"noise": rand(6, 3), "real": rand(6, 1, 8, 8)},
    ),
    "scalars": lambda: (quadratic, {"x": {"value": rand()}, "y": {"value": rand()}}, {}),
}  # fmt: skip


def field_of(losses: Losses) -> Callable:
    def field(p: Any, batch: Any) -> Any:
        values, pull = vjp(lambda q: losses(q, batch), p)

        def one(i: str) -> Any:
            return pull({j: torch.ones_like(x) if j == i else torch.zeros_like(x) for j, x in values.items()})[0][i]

        return {i: one(i) for i in values}, values

    return field


def products_of(field: Callable) -> tuple[Callable, Callable]:
    def push(p: Any, batch: Any, u: Any) -> Any:
        return jvp(lambda q: field(q, batch)[0], (p,), (u,))[1]

    def pull(p: Any, batch: Any, w: Any) -> Any:
        return vjp(lambda q: field(q, batch)[0], p)[1](w)[0]

    return push, pull


ENSEMBLES = [f"ensemble of {name}" for name in GAMES]


@pytest.fixture(params=[*GAMES, *ENSEMBLES])
def game(request: pytest.FixtureRequest) -> tuple[Callable, Any, Any]:
    """(field, params, batch), alone and for three members."""
    losses, params, batch = GAMES[request.param.removeprefix("ensemble of ")]()
    field = field_of(losses)
    if not request.param.startswith("ensemble"):
        return field, params, batch

    def stack(x: Any) -> Any:
        """Three members near ``x``."""
        noisy = lambda t: torch.stack([t + 0.1 * torch.randn_like(t) for _ in range(3)])  # noqa: E731
        return tree_map(lambda t: noisy(t) if isinstance(t, Tensor) else t, x)

    def over_members(p: Any, b: Any) -> Any:
        dims = tree_map(lambda t: 0 if isinstance(t, Tensor) else None, (p, b))
        return vmap(field, in_dims=dims)(p, b)

    return over_members, stack(params), stack(batch)


# ------------------------------------------------------------------------------------------------ same numbers


def test_field(game: tuple[Callable, Any, Any]) -> None:
    field, p, batch = game
    replayed = traced(field)
    for _ in range(3):
        same(replayed(p, batch), field(p, batch))
        p, batch = renewed(p), renewed(batch)
    assert replayed.fallback is None


def alone(product: Callable) -> Staged:
    """``product(*point, tangent)`` alone."""
    return staged(lambda *point: (None, [lambda u: product(*point, u)]))


def value_and_products(field: Callable) -> Staged:
    """The field with both its products."""
    push, pull = products_of(field)
    return staged(lambda *point: (field(*point), [lambda u: push(*point, u), lambda w: pull(*point, w)]))


@pytest.mark.parametrize(
    "game", [*GAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in ENSEMBLES)], indirect=True
)
@pytest.mark.parametrize("k", [0, 1], ids=["Ju", "JTw"])
def test_products(game: tuple[Callable, Any, Any], k: int) -> None:
    field, p, batch = game
    product = products_of(field)[k]
    replayed = alone(product)
    for _ in range(2):
        value, (at_point,) = replayed([p], p, batch)
        assert value is None
        for _ in range(3):
            u = renewed(p)
            same(at_point(u), product(p, batch, u), 1e-11)
        p, batch = renewed(p), renewed(batch)
    assert replayed.fallback is None


def test_tangent_that_is_the_point() -> None:
    """One tensor in two places is still two arguments."""
    losses, p, batch = GAMES["mlp"]()
    push, _ = products_of(field_of(losses))
    _, (product,) = alone(push)([p], p, batch)
    same(product(p), push(p, batch, p))
    u = renewed(p)
    same(product(u), push(p, batch, u))
    add = traced(lambda x, y: x * 2 + y)
    x, y = rand(3), rand(3)
    add(x, x)
    same(add(x, y), x * 2 + y)


def test_field_and_products_in_one(game: tuple[Callable, Any, Any]) -> None:
    """v comes from the pass that its products share; a caller who changes a result harms nobody."""
    field, p, batch = game
    push, pull = products_of(field)
    replayed = value_and_products(field)
    for _ in range(2):
        (v, losses), (Ju, JTw) = replayed([p, p], p, batch)
        same((v, losses), field(p, batch))
        u = renewed(p)
        for _ in range(2):
            for product, expected in ((Ju, push), (JTw, pull)):
                found = product(u)
                same(found, expected(p, batch, u), 1e-11)
                for x in (*tree_flatten(found)[0], *tree_flatten(v)[0], *losses.values()):
                    x.fill_(9)
        p, batch = renewed(p), renewed(batch)
    assert replayed.fallback is None


def test_results_share_no_memory_with_what_is_kept() -> None:
    """The value is what the maps multiply with, or an argument, or a view of either."""

    def f(x: Tensor) -> Any:
        y = x.exp()
        return (y, y.t(), x, x.t(), torch.zeros(3, 3)), [lambda u: (y * u, u, torch.zeros(3, 3)), lambda w: y.t() @ w]

    replayed, x, u = staged(f), rand(3, 3), rand(3, 3)
    before, y = x.clone(), x.exp()
    for _ in range(2):
        value, (first, second) = replayed([u, u], x)
        same(value, (y, y.t(), x, x.t(), torch.zeros(3, 3)))
        assert value[2] is x
        for k in (0, 1, 3, 4):
            value[k].fill_(9)
        for _ in range(2):
            found = first(u)
            same(found, (y * u, u, torch.zeros(3, 3)))
            assert found[1] is u
            found[0].fill_(9), found[2].fill_(9)
            same(second(u), y.t() @ u)
    same(x, before, 0)
    assert replayed.fallback is None


def test_point_is_computed_once() -> None:
    losses, p, batch = GAMES["mlp"]()
    replayed = value_and_products(field_of(losses))
    replayed([p, p], p, batch)
    ((key, programs),) = replayed._programs.items()
    assert programs is not None
    calls: list[int] = []
    replayed._programs[key] = (lambda leaves: calls.append(0) or programs[0](leaves), programs[1])
    _, maps = replayed([p, p], p, batch)
    for product in maps:
        product(p), product(renewed(p))
    assert len(calls) == 1


def test_blocks_at_one_point_share_it() -> None:
    """A player's own block has tangents of its own; nothing is computed for the others."""
    losses, p, batch = GAMES["mlp"]()
    field = field_of(losses)

    def push(q: Any, b: Any, u: Any) -> Any:
        return jvp(lambda own: field({**q, **own}, b)[0], ({i: q[i] for i in u},), (u,))[1]

    players = (["generator"], ["discriminator"], ["generator", "discriminator"])
    replayed = staged(lambda q, b: (None, [lambda u: push(q, b, u)] * len(players)))
    _, maps = replayed([{i: p[i] for i in some} for some in players], p, batch)
    for some, product in zip(players, maps, strict=True):
        u = renewed({i: p[i] for i in some})
        same(product(u), push(p, batch, u))
    u = renewed(p)
    same(maps[0](u), push(p, batch, u))  # not the tangent it was traced for: as written
    assert replayed.fallback is None


def test_what_cannot_be_replayed_runs_as_written_plainly() -> None:
    """Where the fast way does not exist, or is wrong, the plain one is what counts."""
    plain = lambda x: (x.sin(), [lambda u: x.cos() * u])  # noqa: E731

    def missing(x: Tensor) -> Any:
        raise RuntimeError("no such rule")

    x, u = rand(3), rand(3)
    for fast, why in ((missing, "no such rule"), (lambda x: (x.sin(), [lambda u: x.sin() * u]), "differs")):
        replayed = staged(fast, plain)
        value, (product,) = replayed([u], x)
        same((value, product(u)), (x.sin(), x.cos() * u))
        assert replayed.fallback is not None and why in replayed.fallback


def _expression(rng: random.Random, size: int) -> Callable:
    """A random straight-line function of two matrices and a vector, with views, broadcasts, zeros and shared parts."""
    unary = [
        torch.tanh,
        torch.neg,
        torch.relu,
        lambda x: x * 0.5,
        lambda x: x.t(),
        lambda x: x.clone(),
        torch.zeros_like,
    ]
    unary += [lambda x: x.sum(0).expand(4, 4), lambda x: x.mean(1, keepdim=True).expand(4, 4), torch.ones_like]
    unary += [
        lambda x: x.reshape(16).reshape(4, 4),
        lambda x: x[1].expand(4, 4),
        lambda x: x / 3,
        lambda x: x[:, :1] + x,
    ]
    unary += [lambda x: x.clone().add_(1), lambda x: torch.sigmoid(x), lambda x: x.flatten().view(4, 4), torch.exp]
    binary = [torch.add, torch.sub, torch.mul, torch.mm, lambda x, y: torch.addmm(x, x, y), lambda x, y: x - 2 * y]
    binary += [
        lambda x, y: torch.where(x > y, x, y),
        lambda x, y: torch.cat((x[:2], y[2:])),
        lambda x, y: x + x @ y.t(),
    ]
    steps = [(rng.choice(unary + binary + binary), rng.random(), rng.random()) for _ in range(size)]
    wanted = [rng.random() for _ in range(3)]

    def function(x: Tensor, y: Tensor, z: Tensor) -> Any:
        values = [x, y, z.expand(4, 4)]
        for op, i, j in steps:
            operands = [values[int(k * len(values))] for k in (i, j)]
            out = op(*operands) if op in binary else op(operands[0])
            values.append(out.clamp(-3, 3) if i > 0.7 else out * 0.3)
        return [values[int(k * len(values))] for k in wanted] + [values[-1], values[-1]]

    return function


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(k, marks=pytest.mark.slow) for k in range(3, 12))])
@pytest.mark.parametrize("size", [4, 16, 40])
def test_random_programs(seed: int, size: int) -> None:
    function = _expression(random.Random(1000 * size + seed), size)

    def slope(x: Tensor, y: Tensor, z: Tensor) -> Any:
        return grad(lambda *w: sum(out.square().sum() for out in function(*w)), (0, 1, 2))(x, y, z)

    for f in (function, slope, lambda x, y, z: jvp(lambda w: slope(w, y, z), (x,), (y,))):
        replayed = traced(f)
        for _ in range(2):
            arguments = rand(4, 4), rand(4, 4), rand(4)
            before = tree_map(torch.clone, arguments)
            out = replayed(*arguments)
            same(out, f(*arguments), 1e-10)
            for tensor in out if f is function else ():
                if not any(tensor is a for a in arguments):
                    tensor.add_(1)  # owns its memory
            same(arguments, before, 0)
        assert replayed.fallback is None


# ------------------------------------------------------------------------------------------------ keys


def test_new_shapes_and_constants_trace_anew() -> None:
    def f(x: Tensor, batch: dict[str, Any]) -> Tensor:
        y = x * batch["scale"] if batch["scale"] is not None else x
        return y.flip(0) if batch["kind"] == "flip" else y

    replayed = traced(f)
    for x in (rand(3), rand(4), rand(2, 3), rand(3).float(), torch.arange(3)):
        for scale in (None, 1, 1.0, True, 2, 0.5, math.inf):
            for kind in ("flip", "keep"):
                trace_once = traced(f) if len(replayed._programs) > 20 else replayed
                arguments = x, {"scale": scale, "kind": kind}
                same(trace_once(*arguments), f(*arguments))
                assert trace_once.fallback is None


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


def test_structures() -> None:
    def f(pair: Pair, more: list[Any]) -> Any:
        return Pair(pair.right, pair.left * 2), {"a": (more[0], None, "x", 1.5, math.inf), "b": []}, more[1]

    arguments = Pair(rand(2), rand(3)), [rand(1), 3]
    replayed = traced(f)
    for _ in range(2):
        out = replayed(*arguments)
        assert type(out[0]) is Pair
        same(out, f(*arguments))
    assert replayed.fallback is None


def test_default_dtype_belongs_to_the_key() -> None:
    replayed = traced(lambda x: x + torch.ones(3))
    x = torch.zeros(3)
    assert replayed(x).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert replayed(x).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_changing_constant_stops_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "PROGRAMS", 3)
    replayed = traced(lambda x, step: x / (step + 1))
    for step in range(6):
        same(replayed(torch.ones(2), step), torch.ones(2) / (step + 1))
    assert replayed.fallback is not None and "more than 3" in replayed.fallback


def test_strides_do_not_matter() -> None:
    replayed = traced(lambda x: x.view(6).cumsum(0) * x.t().reshape(6))
    same(replayed(rand(2, 3)).shape, torch.Size([6]))
    x = rand(3, 2).t()
    same(replayed(x), x.reshape(6).cumsum(0) * x.t().reshape(6))


def test_not_finite_stays_not_finite() -> None:
    losses, p, batch = GAMES["mlp"]()
    field = field_of(losses)
    replayed = traced(field)
    replayed(p, batch)
    p["generator"]["w1"][0, 0] = math.nan
    for x, y in zip(tree_flatten(replayed(p, batch))[0], tree_flatten(field(p, batch))[0], strict=True):
        assert torch.equal(x.isnan(), y.isnan())


# ------------------------------------------------------------------------------------------------ no dead work


def count(f: Callable, *args: Any) -> dict[Any, int]:
    leaves: list[Tensor] = []
    flatten(args, leaves, [])
    g, _ = capture(f, args, leaves)
    ops = [node.op for node in g.live()]
    return {op: ops.count(op) for op in set(ops)}


def test_cross_gradients_vanish() -> None:
    """The field's program asks for as many products as the two backward passes a careful hand would write."""
    losses, p, batch = GAMES["mlp"]()
    ops = count(field_of(losses), p, batch)
    products = ops[A.mm.default] + ops[A.addmm.default]
    forward, through_fake, own, real, fake = 9, 3, 3 + 2, 3 + 2, 3 + 2
    assert products == forward + through_fake + own + real + fake


def test_convolutions_give_only_the_gradients_wanted() -> None:
    losses, p, batch = GAMES["conv"]()
    leaves: list[Tensor] = []
    flatten((p, batch), leaves, [])
    g, _ = capture(field_of(losses), (p, batch), leaves)
    masks = [node.args[-1] for node in g.live() if node.op is A.convolution_backward.default]
    # Two through the discriminator, two in the generator, two each for real and fake in the discriminator.
    assert len(masks) == 8
    assert sum(mask[0] for mask in masks) == 6 and sum(mask[1] for mask in masks) == 6


def test_broadcasts_stay_small() -> None:
    """The gradient of a mean is divided before it is spread out; ones and zeros are not multiplied with."""
    ops = count(grad(lambda x: (x * 3).mean(1).sum()), rand(100, 7))
    assert set(ops) <= {"input", A.full.default, A.expand.default}
