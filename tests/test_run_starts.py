"""What a run begins with: its seed, its starting point, its settings; and what is refused of them."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.prepared import Prepared
from counterplay.core.state import State
from counterplay.core.tree import ravel, tmap

from .cases import CONVERGES, F64, QUADRATIC, SmoothGan, close, generator, identical, simgd, watched


def test_the_seed_decides():
    game, solver = SmoothGan(batch=3), cp.make("solver", "altgd", lr=0.1, rule="adam")
    torch.manual_seed(1)
    a = cp.run(game, solver, steps=3, seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    b = cp.run(game, solver, steps=3, seed=4)
    assert identical((a.params, a.memory), (b.params, b.memory))
    assert torch.equal(before, torch.get_rng_state()), "global random numbers are left alone"
    assert not identical(a.params, cp.run(game, solver, steps=3, seed=5).params)


def test_a_step_is_a_function_of_the_state():
    """draw() replayed from the generators' states gives the same batches."""
    table = Prepared(SmoothGan(batch=3))
    one = torch.ones(())
    state = State(0, {}, {}, {}, (generator(3).get_state(),), one.bool(), one)
    assert identical(table.draw(state.generators(), {}), table.draw(state.generators(), {}))


START = {"x": {"value": torch.tensor([0.5])}, "y": {"value": torch.tensor([-2.0])}}


def test_a_start_is_taken_in_the_precision_of_the_game():
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=START)
    close(ravel(seen[0].params), torch.tensor([0.5, -2.0], dtype=F64))
    _, seen = watched(QUADRATIC, simgd(), steps=1, start={"y": START["y"], "x": START["x"]}, dtype="float32")
    assert ravel(seen[0].params).tolist() == [0.5, -2.0] and ravel(seen[0].params).dtype == torch.float32
    assert list(seen[0].params) == ["x", "y"], "in the game's order"


def test_a_start_is_one_for_all_members_or_one_each():
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=START, members=3)
    assert ravel(seen[0].params, True).tolist() == [[0.5, -2.0]] * 3
    each = {i: {"value": torch.arange(3.0).reshape(3, 1)} for i in "xy"}
    _, seen = watched(QUADRATIC, simgd(), steps=1, start=each, members=3)
    assert ravel(seen[0].params, True).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_start_is_copied():
    start = tmap(torch.clone, START)
    result = cp.run(QUADRATIC, simgd(), steps=0, start=start, dtype="float32")
    start["x"]["value"].zero_()
    assert result.params["x"]["value"] == 0.5


@pytest.mark.parametrize(
    ("start", "members", "words"),
    [
        ({"x": START["x"]}, None, "y/value is missing"),
        ({**START, "z": START["x"]}, None, "z/value has shape.*no such tensor"),
        ({**START, "x": {"value": torch.zeros(2)}}, None, r"x/value has shape \(2,\), shape \(1,\)"),
        ({**START, "x": {"w": torch.zeros(1)}}, None, "x/value is missing"),
        ({i: {"value": torch.zeros(2, 1)} for i in "xy"}, 3, r"x/value has shape \(2, 1\), shape \(3, 1\)"),
    ],
)
def test_a_start_that_does_not_fit_is_a_sentence(start, members, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.run(QUADRATIC, simgd(), steps=1, start=start, members=members)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"game": "quadratic"}, "not a game object"),
        ({"solver": "simgd"}, "not a solver object"),
        ({"regularizers": ["l2"]}, "not a regularizer object"),
        ({"start": [1, 2]}, "start is list"),
        ({"seed": None}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"steps": True}, "steps must be"),
        ({"steps": -1}, "steps must be"),
        ({"steps": 1.5}, "steps must be"),
        ({"members": 0}, "members must be"),
        ({"every": 0}, "every must be"),
        ({"spectrum_every": -1}, "spectrum-every must be"),
        ({"checkpoint_every": -2}, "checkpoint-every must be"),
        ({"blowup": "a"}, "blowup must be"),
        ({"blowup": -1.0}, "blowup must be"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_a_slip_is_a_sentence(given, words):
    asked = {"game": QUADRATIC, "solver": simgd(CONVERGES), "steps": 2, **given}
    with pytest.raises(cp.UsageError, match=words):
        cp.run(asked.pop("game"), asked.pop("solver"), **asked)
