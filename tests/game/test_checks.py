"""What a game must not give back, each in a sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

import counterplay as cp

SGD = cp.make("solver", "simgd")


def game(start, sample=None):
    """Everyone's loss is the sum of their own numbers."""
    losses = lambda p, b: {i: sum(x.sum() for x in tree.values()) for i, tree in p.items()}  # noqa: E731
    return cp.game_from_losses(losses, start, sample)


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        ([torch.ones(2)], "a list"),
        ((torch.ones(2),), "a tuple"),
        (torch.ones(2), r"a tensor of shape \(2,\) and type float32"),
        (None, "None"),
        ("cat", "a str"),
    ],
)
@pytest.mark.parametrize("members", [None, 2])
def test_a_sample_that_is_no_dictionary(drawn, told, members):
    with pytest.raises(cp.UserError, match=f"GameFromLosses .*: its sample returned {told}; expected: a dictionary"):
        cp.run(game({"x": {"w": torch.ones(2)}}, lambda rng: drawn), SGD, steps=1, members=members)


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_parameters_of_several_types(dtype):
    """The game is named, not the solver; a type asked for makes them one."""
    mixed = game({"x": {"w": torch.ones(2)}, "y": {"w": torch.ones(2, dtype=torch.float64)}})
    if dtype is not None:
        assert cp.run(mixed, SGD, steps=1, dtype=dtype).params["x"]["w"].dtype == torch.float64
        return
    with pytest.raises(
        cp.UserError, match=r"GameFromLosses .* x/w of type float32 and y/w of type float64; expected: one"
    ):
        cp.run(mixed, SGD, steps=1)


@pytest.mark.parametrize("kind", [torch.complex64, torch.int64])
def test_parameters_that_are_no_real_numbers(kind):
    with pytest.raises(cp.UserError, match=f"its init returned a tensor of shape .* {str(kind)[6:]} as x/w; expected"):
        cp.run(game({"x": {"w": torch.ones(2, dtype=kind)}}), SGD, steps=1)


def test_a_player_without_parameters():
    sentence = "its player y has no parameters; leave out who has nothing to move"
    with pytest.raises(cp.UserError, match=sentence):
        cp.run(game({"x": {"w": torch.ones(2)}, "y": {"w": torch.ones(0)}}), SGD, steps=1)
    for still in (nn.Tanh(), nn.Linear(2, 2).requires_grad_(False)):
        losses = lambda n, b: {i: n["x"].weight.sum() for i in n}  # noqa: E731
        with pytest.raises(cp.UserError, match=sentence):
            cp.run(cp.game_from_modules({"x": nn.Linear(2, 2), "y": still}, losses, lambda rng: {}), SGD, steps=1)


def test_players_that_are_no_text():
    @dataclasses.dataclass(frozen=True)
    class Numbered(cp.Game):
        players: Any = (0,)

        def init(self, rng):
            return {0: {"w": torch.ones(2)}}

        def losses(self, params, batch):
            return {0: params[0]["w"].sum()}

    with pytest.raises(cp.UserError, match="its player 0 is a int; expected: names, such as '0'"):
        cp.run(Numbered(), SGD, steps=1)
    with pytest.raises(cp.UsageError, match="the player 0 is no name"):
        game({0: {"w": torch.ones(2)}})
    with pytest.raises(cp.UsageError, match=r"modules are .* got Linear for 0"):
        numbered: dict[Any, nn.Module] = {0: nn.Linear(2, 2)}
        cp.game_from_modules(numbered, lambda n, b: {}, lambda rng: {})


def test_numbers_that_a_log_cannot_hold(tmp_path):
    short = game({"x": {"w": torch.ones(2, dtype=torch.bfloat16)}})
    with pytest.raises(cp.UsageError, match="a log holds no bfloat16: play this game in float32 or float64"):
        cp.run(short, SGD, steps=1, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()
    assert cp.run(short, SGD, steps=1).params["x"]["w"].dtype == torch.bfloat16
