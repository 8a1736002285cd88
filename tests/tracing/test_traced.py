"""Replayed programs give the numbers of the functions they were traced from, or are not used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jvp, vmap
from torch.utils._pytree import tree_flatten, tree_map

from counterplay.core.tracing.traced import TracedWithMaps, traced, traced_with_maps

from ..support.traces import GAMES, field_of, products_of, rand, renewed, same

pytestmark = pytest.mark.usefixtures("seeded")


ENSEMBLES = [f"ensemble of {name}" for name in GAMES]


def all_but(slow: list[str]) -> pytest.MarkDecorator:
    """Every game and ensemble, those of ``slow`` in slow tests: tracing several products of them takes seconds."""
    cases = [pytest.param(name, marks=[pytest.mark.slow] * (name in slow)) for name in [*GAMES, *ENSEMBLES]]
    return pytest.mark.parametrize("game", cases, indirect=True)


@pytest.fixture
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


@all_but([])
def test_field(game: tuple[Callable, Any, Any]) -> None:
    field, p, batch = game
    replayed = traced(field)
    for _ in range(3):
        same(replayed(p, batch), field(p, batch))
        p, batch = renewed(p), renewed(batch)
    assert replayed.fallback is None


def alone(product: Callable) -> TracedWithMaps:
    """``product(*point, tangent)`` alone."""
    return traced_with_maps(lambda *point: (None, [lambda u: product(*point, u)]))


def value_and_products(field: Callable) -> TracedWithMaps:
    """The field with both its products."""
    push, pull = products_of(field)
    return traced_with_maps(lambda *point: (field(*point), [lambda u: push(*point, u), lambda w: pull(*point, w)]))


@all_but(ENSEMBLES)
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


@all_but(["ensemble of penalised"])
def test_field_and_products_in_one(game: tuple[Callable, Any, Any]) -> None:
    """v comes from the pass that its products share; a caller who changes a result harms nobody."""
    field, p, batch = game
    push, pull = products_of(field)
    replayed = value_and_products(field)
    for _ in range(2):
        (v, losses), (Ju, JTw) = replayed([p, p], p, batch)
        same((v, losses), field(p, batch))
        u = renewed(p)
        expected = (Ju, push(p, batch, u)), (JTw, pull(p, batch, u))
        for _ in range(2):
            for product, wanted in expected:
                found = product(u)
                same(found, wanted, 1e-11)
                for x in (*tree_flatten(found)[0], *tree_flatten(v)[0], *losses.values()):
                    x.fill_(9)
        p, batch = renewed(p), renewed(batch)
    assert replayed.fallback is None


def test_results_share_no_memory_with_what_is_kept() -> None:
    """The value is what the maps multiply with, or an argument, or a view of either."""

    def f(x: Tensor) -> Any:
        y = x.exp()
        return (y, y.t(), x, x.t(), torch.zeros(3, 3)), [lambda u: (y * u, u, torch.zeros(3, 3)), lambda w: y.t() @ w]

    replayed, x, u = traced_with_maps(f), rand(3, 3), rand(3, 3)
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
    (program,) = replayed._programs.values()
    assert program is not None
    calls: list[int] = []
    first = program.first
    program.first = lambda leaves: calls.append(0) or first(leaves)
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
    replayed = traced_with_maps(lambda q, b: (None, [lambda u: push(q, b, u)] * len(players)))
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
        replayed = traced_with_maps(fast, plain)
        value, (product,) = replayed([u], x)
        same((value, product(u)), (x.sin(), x.cos() * u))
        assert replayed.fallback is not None and why in replayed.fallback


def test_not_finite_stays_not_finite() -> None:
    losses, p, batch = GAMES["mlp"]()
    field = field_of(losses)
    replayed = traced(field)
    replayed(p, batch)
    p["generator"]["w1"][0, 0] = math.nan
    for x, y in zip(tree_flatten(replayed(p, batch))[0], tree_flatten(field(p, batch))[0], strict=True):
        assert torch.equal(x.isnan(), y.isnan())
