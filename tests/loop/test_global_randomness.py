"""A step that draws global random numbers is found when it is played."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel, tmap


@dataclass(frozen=True)
class Shaken(cp.Composed):
    """v times ``factor``, from the step ``since`` on."""

    factor: Callable[[], float] = lambda: 1.0
    since: int = 0

    def remember(self, params):
        return {"count": torch.zeros((), dtype=torch.int64)}

    def directed(self, local, memory):
        shaken = memory["count"] >= self.since
        factor = self.factor() if shaken else 1.0
        return tmap(lambda g: g * factor, local.gradient()), {"count": memory["count"] + 1}


FACTORS = {"torch": lambda: float(torch.rand(())), "numpy": lambda: float(np.random.rand()), "Python": random.random}


@pytest.mark.parametrize("whose", FACTORS)
def test_it_is_said_at_the_first_step(whose, tmp_path):
    with pytest.raises(cp.PluginError, match=f"the solver Shaken breaks its contract: a step draws from {whose}'s"):
        cp.run(cp.make("game", "quadratic"), Shaken(factor=FACTORS[whose]), steps=3, out=tmp_path / "r")
    assert cp.load_params(tmp_path / "r", step=0).keys() == {"x", "y"}  # the state before the step is kept


def test_a_later_step_is_found_within_sixty_four(tmp_path):
    with pytest.raises(cp.PluginError, match="a step draws from torch's global random numbers"):
        cp.run(cp.make("game", "quadratic"), Shaken(factor=FACTORS["torch"], since=3), steps=65, out=tmp_path / "r")
    assert cp.run(cp.make("game", "quadratic"), Shaken(factor=FACTORS["torch"], since=3), steps=2).status == "max_steps"


def test_numbers_that_others_draw_do_not_matter():
    """As another thread may, while a step is taken. The step is looked at once more, and its cost counts once."""
    game, plain = cp.make("game", "quadratic"), cp.make("solver", "simgd")

    def drawn_and_left() -> float:
        torch.rand(3)
        return 1.0

    a = cp.run(game, Shaken(factor=drawn_and_left), steps=3, history=True)
    b = cp.run(game, plain, steps=3, history=True)
    assert torch.equal(ravel(a.params), ravel(b.params))
    assert a.history is not None and b.history is not None
    assert np.array_equal(a.history["step/gradients"], b.history["step/gradients"])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    cp.run(cp.make("game", "mixture", hidden=4, layers=1, batch=4), cp.make("solver", "altgd"), steps=2)
    assert torch.equal(before, torch.get_rng_state())
