"""Games in one expression."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import counterplay as cp
from counterplay.core.game.tree import leaves

from ..support.cases import F64, close, close_trees, generator, identical, member


def saddle(p, batch):
    f = (p["x"]["w"] * p["y"]["w"]).sum() + batch.get("shift", 0.0) * p["x"]["w"].sum()
    return {"x": f, "y": -f}


START = {"x": {"w": torch.tensor([1.0, 2.0], dtype=F64)}, "y": {"w": torch.tensor([3.0, -1.0], dtype=F64)}}


def test_a_game_in_one_expression():
    game = cp.game_from_losses(saddle, START)
    assert (
        game.players == ("x", "y") and not game.zero_sum and cp.game_from_losses(saddle, START, zero_sum=True).zero_sum
    )
    assert identical(game.init(generator()), START)
    result = cp.run(game, cp.make("solver", "simgd", lr=0.5), steps=1)
    close(result.params["x"]["w"], torch.tensor([-0.5, 2.5], dtype=F64))
    close(result.params["y"]["w"], torch.tensor([3.5, 0.0], dtype=F64))


def test_a_start_that_is_drawn_and_batches_that_are_drawn():
    init = lambda rng: {i: {"w": torch.randn(2, generator=rng, dtype=F64)} for i in "xy"}  # noqa: E731
    game = cp.game_from_losses(saddle, init, lambda rng: {"shift": torch.randn((), generator=rng, dtype=F64)})
    seen = []

    def run(**options):
        look = lambda s: seen.append(s.batch["shift"])  # noqa: E731
        return cp.run(game, cp.make("solver", "simgd"), steps=3, observers=[look], **options)

    a, b = run(seed=1), run(seed=1)
    assert identical(a.params, b.params) and not identical(a.params, run(seed=2).params)
    assert len({float(x) for x in seen[:4]}) == 4 and seen[:4] == seen[4:8]
    many = run(seed=1, members=2)
    close_trees(member(many.params, 0), a.params, 1e-12)
    assert seen[-1].shape == (2,)


def test_the_starting_tensors_stay_the_user_s():
    """Leaves that ask for gradients, or are changed by the user later, are no part of the run."""
    start = {i: {k: x.clone().requires_grad_() for k, x in t.items()} for i, t in START.items()}
    game = cp.game_from_losses(saddle, start)
    result = cp.run(game, cp.make("solver", "cgd"), steps=0)
    assert identical(result.params, START) and not any(x.requires_grad for x in leaves(result.params))
    with torch.no_grad():
        start["x"]["w"].zero_()
    assert identical(result.params, START)


@pytest.mark.parametrize(
    "init", [None, {}, {"x": torch.zeros(1)}, {"x": {}}, {"x": {"w": 1.0}}, [1], lambda rng: {"x": 1}]
)
def test_an_init_of_another_shape_is_refused_in_words(init):
    with pytest.raises(cp.UsageError, match="init must be"):
        cp.game_from_losses(saddle, init)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (lambda p, b: {"x": p["x"]["value"], "y": p["y"]["value"].sum()}, r"loss of x .* shape \(2,\)"),
        (lambda p, b: {"x": p["x"]["value"].sum()}, "losses are of x; one for each of the players x, y"),
        (lambda p, b: {"x": 1.0, "y": p["y"]["value"].sum()}, "loss of x .* float"),
        (lambda p, b: p["x"]["value"].sum(), "got Tensor"),
    ],
    ids=["shape", "missing", "no tensor", "no table"],
)
def test_losses_of_another_shape_are_refused_in_words(losses, words):
    game = cp.game_from_losses(losses, {i: {"value": torch.ones(2)} for i in "xy"})
    with pytest.raises(cp.UsageError, match=words):
        cp.run(game, cp.make("solver", "simgd"), steps=1)


@pytest.mark.parametrize(
    ("losses", "sample", "words"),
    [
        (lambda n: {}, lambda rng: {}, r"losses must be a function of \(nets, batch\); the one given takes \(n\)"),
        (lambda n, b: {}, lambda: {}, r"sample must be a function of \(rng\); the one given takes \(\)"),
        (lambda n, b: {}, {"x": 1}, r"sample must be a function of \(rng\); got dict"),
    ],
)
def test_functions_that_cannot_be_called_are_refused(losses, sample, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.game_from_modules({"a": nn.Linear(2, 2)}, losses, sample)
    with pytest.raises(cp.UsageError, match=words.replace("nets", "params")):
        cp.game_from_losses(losses, {"a": {"w": torch.ones(2)}}, sample)
