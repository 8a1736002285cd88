"""What a run begins with: its seed, its starting point, its settings; and what is refused of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel, tmap
from counterplay.core.solver.state import State

from ..support.cases import CONVERGES, F64, QUADRATIC, SmoothGan, close, generator, identical, member, simgd, watched


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
    table = Evaluator(SmoothGan(batch=3))
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
    asked: dict[str, Any] = {"game": QUADRATIC, "solver": simgd(CONVERGES), "steps": 2, **given}
    with pytest.raises(cp.UsageError, match=words):
        cp.run(asked.pop("game"), asked.pop("solver"), **asked)


@pytest.mark.parametrize("members", [None, 3])
def test_a_start_is_given_as_numbers_arrays_or_lists(members):
    """Exactly what is given, in the precision of the game: 0.1 is the double 0.1."""
    wanted = {"x": {"value": torch.tensor([0.1], dtype=F64)}, "y": {"value": torch.tensor([-2.0], dtype=F64)}}
    expected = watched(QUADRATIC, simgd(), steps=1, start=wanted, members=members)[1][0].params
    for x, y in [
        (0.1, -2), ([0.1], [-2]), (np.array([0.1]), np.array([-2], dtype=np.int8)), (np.float64(0.1), np.float32(-2)),
        ((0.1,), torch.tensor([-2], dtype=torch.int64)), (np.array([0.0, 0.1])[::-1][:1], [np.float64(-2)]),
        ([torch.tensor(0.1, dtype=F64)], torch.tensor([-2.0], requires_grad=True)),
    ]:  # fmt: skip
        _, seen = watched(QUADRATIC, simgd(), steps=1, start={"x": {"value": x}, "y": {"value": y}}, members=members)
        assert identical(seen[0].params, expected), (x, y)
    if members:
        each = {i: {"value": [[0.0], [1.0], [2.0]]} for i in "xy"}
        _, seen = watched(QUADRATIC, simgd(), steps=1, start=each, members=3)
        assert ravel(seen[0].params, True).tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    "x",
    [
        None,
        "0.1",
        1j,
        [[1.0], [1.0, 2.0]],
        torch.tensor([1j]),
        np.array(["1"]),
        object(),
        {},
        torch.ones(1).to_sparse(),
    ],
)
def test_what_is_no_number_is_no_start(x):
    with pytest.raises(cp.UsageError, match=r"starting point's x/value is .* a tensor of real numbers is expected"):
        cp.run(QUADRATIC, simgd(), steps=1, start={"x": {"value": x}, "y": {"value": torch.ones(1)}})


@pytest.mark.parametrize("name", ["altgd", "past-extragradient", "acgd", "lookahead-minmax"])
@pytest.mark.parametrize("members", [None, 2])
def test_a_run_goes_on_from_the_parameters_and_the_memory_of_another(tmp_path, name, members):
    """In two halves it is the run in one, where nothing is drawn; and so it is with a memory from a checkpoint."""
    options = {} if name in ("acgd", "lookahead-minmax") else {"rule": "adam"}
    solver = cp.make("solver", name, lr=0.05, **options)
    whole = cp.run(QUADRATIC, solver, steps=20, members=members)
    half = cp.run(QUADRATIC, solver, steps=10, members=members, out=tmp_path / "half")
    for given in (half, cp.resume(tmp_path / "half", game=QUADRATIC, solver=solver)):
        rest = cp.run(QUADRATIC, solver, steps=10, members=members, start=given.params, memory=given.memory)
        assert identical((rest.params, rest.memory), (whole.params, whole.memory))
    left = iter([False] * 4 + [True])
    run = tmp_path / "run"
    again = {"start": half.params, "memory": half.memory, "members": members}
    cp.run(QUADRATIC, solver, steps=10, out=run, stop=lambda: next(left), **again)
    assert json.loads((run / "run.json").read_text())["start_given"] is True
    assert identical(cp.resume(run, game=QUADRATIC, solver=solver).params, whole.params)


def test_one_memory_is_every_member_s():
    solver = simgd(0.05, rule="adam")
    half = cp.run(QUADRATIC, solver, steps=7)
    alone = cp.run(QUADRATIC, solver, steps=5, start=half.params, memory=half.memory)
    many = cp.run(QUADRATIC, solver, steps=5, start=half.params, memory=half.memory, members=3)
    for m in range(3):
        assert identical(member(many.params, m), alone.params)


def test_a_memory_of_another_solver_is_refused():
    adam = cp.run(QUADRATIC, simgd(0.05, rule="adam"), steps=2).memory
    momentum = lambda x: {"rule": {i: {"m": {"value": x}} for i in "xy"}}  # noqa: E731
    wrong: list[tuple[cp.Solver, Any, str]] = [
        (simgd(0.05), adam, "the memory does not fit the solver simgd: rule/x/m is not expected"),
        (simgd(0.05, rule="adam"), {}, "rule/x/t is missing"),
        (simgd(0.05, rule="adam"), {"direction": {}, "rule": {"x": adam["rule"]["x"]}}, "rule/y/t is missing"),
        (simgd(0.05, rule="adam"), [1], "it is a list, a dictionary is expected"),
        (simgd(0.05, rule="momentum"), momentum(torch.ones(2)), "has shape"),
        (simgd(0.05, rule="momentum"), momentum(torch.ones(1).int()), "of type int32"),
        (simgd(0.05, rule="momentum"), momentum(0.0), "of type float, float64 is"),
    ]
    for solver, memory, words in wrong:
        with pytest.raises(cp.UsageError, match=words):
            cp.run(QUADRATIC, solver, steps=1, memory=memory)
