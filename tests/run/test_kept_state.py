"""All that the next step depends on is in the checkpoint: numbers and nested tensors too, each exactly what it was."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.game.buffers import (
    PRIMITIVES,
    first_unstorable,
    leaves_from_checkpoint,
    primitives_of,
    tensors_of,
)
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest
from counterplay.core.storage.strict_json import dumps

from ..support.cases import F64, identical, simgd

CONTENTS = {
    "t": 7, "huge": -(10**40), "rate": 0.1, "tiny": 5e-324, "infinite": -math.inf, "none": None, "on": True,
    "phase": "é\n\x00\ud800", "empty": {}, "list": [1, 2.0, {"w": torch.ones(2, dtype=torch.bfloat16)}, ()],
    "pair": (torch.arange(3), False), "a/b": {"c": torch.tensor(1j)},
}  # fmt: skip


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def test_everything_comes_back_exactly_and_of_its_type():
    plain = json.loads(dumps(primitives_of(CONTENTS)))
    first = {**CONTENTS, "t": 0, "huge": 1, "rate": math.nan, "phase": "", "on": False}
    assert same(leaves_from_checkpoint(first, tensors_of(CONTENTS), plain, ""), CONTENTS)
    assert math.isnan(leaves_from_checkpoint(0.0, None, json.loads(dumps(primitives_of(math.nan))), "x"))
    assert first_unstorable(CONTENTS) is None and set(PRIMITIVES) == {bool, int, float, str, type(None)}


@pytest.mark.parametrize(
    ("own", "kept", "words"),
    [
        ({"t": 0}, {}, "t is missing"),
        ({"t": 0}, {"t": 1.0}, "t is of another type"),
        ({"t": 0}, {"t": 1, "u": 1}, "it holds u, which is not expected"),
        ({"t": [0]}, {"t": [1, 2]}, "it holds t/1, which is not expected"),
        ({"t": [torch.ones(1)]}, {"t": [torch.ones(2)]}, "t/0 is missing, or of another shape"),
        ({"t": torch.ones(1)}, {"t": 1.0}, "t is missing, or of another shape or type"),
        ({"t": {"a": 1}}, {"t": torch.ones(1)}, "^t is of another type"),
        ({"t": {"a": 1}}, {"t": 1}, "^t is of another type"),
    ],
)
def test_what_does_not_fit_is_named(own, kept, words):
    with pytest.raises(ValueError, match=words):
        leaves_from_checkpoint(own, tensors_of(kept), primitives_of(kept), "")


@dataclass(frozen=True)
class Annealed(cp.Game):
    """The gradient is the sum of what every kind of buffer holds: one that is lost changes the course."""

    players = ("x",)

    def init(self, rng):
        return {"x": {"w": torch.zeros(1, dtype=F64)}}

    def buffers(self, rng):
        one = torch.ones(1, dtype=F64)
        return {"t": 0, "opt": {"rate": 1.0, "moments": [0 * one, (one, "even")]}}

    def refresh(self, params, buffers):
        rate, (m, (s, phase)) = buffers["opt"]["rate"], buffers["opt"]["moments"]
        phase = "odd" if phase == "even" else "even"
        return {"t": buffers["t"] + 1, "opt": {"rate": 0.9 * rate, "moments": [m + rate, (2 * s, phase)]}}

    def losses(self, params, batch):
        m, (s, phase) = batch["opt"]["moments"]
        c = batch["t"] + batch["opt"]["rate"] + m + s + (0.5 if phase == "odd" else 0.0)
        return {"x": -(c * params["x"]["w"]).sum()}


def course(steps):
    t, rate, m, s, w = 0, 1.0, 0.0, 1.0, 0.0
    for _ in range(steps):
        m, t, rate, s = m + rate, t + 1, 0.9 * rate, 2 * s
        w += t + rate + m + s + (0.5 if t % 2 else 0.0)
    return w


class Inside(Annealed):
    """The same, written into what it is given."""

    def refresh(self, params, buffers):
        new = super().refresh(params, buffers)
        buffers["t"], buffers["opt"]["rate"], buffers["opt"]["moments"] = 1 + buffers["t"], *new["opt"].values()
        return buffers


@pytest.mark.parametrize("game", [Annealed(), Inside()])
@pytest.mark.parametrize("options", [{}, {"members": 2}, {"trace": True}, {"compile": True}])
def test_numbers_and_nested_state_go_on_in_a_resumed_run(tmp_path, game, options):
    solver = simgd(1.0)
    whole = cp.run(game, solver, steps=9, **options)
    expected = [course(9)] * options.get("members", 1)
    assert whole.params["x"]["w"].flatten().tolist() == pytest.approx(expected, rel=1e-14)
    for at in (0, 1, 4, 8):
        left = iter([False] * at + [True])
        out = tmp_path / str(at)
        assert cp.run(game, solver, steps=9, out=out, stop=lambda left=left: next(left), **options).steps == at
        assert identical(cp.resume(out, game=game, solver=solver).params, whole.params)


def test_a_step_that_fails_has_not_moved_the_buffers(tmp_path):
    """Written into in place, the numbers of the state before the step stay what they were."""
    solver, run = simgd(1.0), tmp_path / "run"

    class Fails(Inside):
        def losses(self, params, batch):
            if batch["t"] == 4:
                raise ValueError("once")
            return super().losses(params, batch)

    with pytest.raises(cp.PluginError, match="once"):
        cp.run(Fails(), solver, steps=9, out=run, trace=False)
    assert cp.resume(run, game=Inside(), solver=solver, allow_inexact=True).params["x"]["w"].item() == pytest.approx(
        course(9), rel=1e-14
    )


@pytest.mark.parametrize(
    ("buffers", "words"),
    [
        ({"rng": torch.Generator()}, "a Generator in 'rng'"),
        ({"a": {"b": [1, object()]}}, "a object in 'a/b/1'"),
        ({"it": iter([1])}, "a list_iterator in 'it'"),
        ({"a": {1: torch.ones(1)}}, "a int in 'a'"),
        ({"s": {1, 2}}, "a set in 's'"),
        ({"t": torch.ones(1, dtype=torch.complex128)}, r"a tensor of shape \(1,\) and type complex128 in 't'"),
        ({"t": [torch.ones(1, dtype=torch.uint16)]}, r"a tensor of shape \(1,\) and type uint16 in 't/0'"),
        ({"t": torch.ones(1).to_sparse()}, r"a tensor of shape \(1,\) and type float32, sparse_coo in 't'"),
    ],
)
def test_what_no_checkpoint_keeps_is_refused_before_the_first_step(tmp_path, buffers, words):
    class Odd(Annealed):
        def buffers(self, rng):
            return buffers

    with pytest.raises(cp.PluginError, match=f"its buffers hold {words}, which no checkpoint keeps"):
        cp.run(Odd(), simgd(), steps=3, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nor_in_a_solver_s_memory(tmp_path):
    class Complex(type(simgd())):
        def init(self, game, params):
            return {"z": torch.zeros(1, dtype=torch.complex128)}

    with pytest.raises(cp.PluginError, match=r"type complex128 in its memory; expected: .*complex64"):
        cp.run(Annealed(), Complex(lr=0.1), steps=3, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{}, {"compile": True}])
def test_views_that_conjugate_and_negate_are_kept_as_what_they_are(tmp_path, options):
    class Views(Annealed):
        def buffers(self, rng):
            z = torch.tensor([1.0 + 2.0j], dtype=torch.complex64).conj()
            return {"t": z.imag, "z": z}

        def refresh(self, params, buffers):
            return buffers

        def losses(self, params, batch):
            return {"x": (batch["t"] * params["x"]["w"]).sum()}

    cp.run(Views(), simgd(), steps=2, out=tmp_path / "run", trace=False, **options)
    kept, _ = load_checkpoint(newest(tmp_path / "run"))
    assert kept["buffers"]["t"].item() == -2.0 and kept["buffers"]["z"].item() == 1.0 - 2.0j


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"t": 1.0, "l": [1, torch.ones(1)]}, "t is a float; expected: a int"),
        ({"t": 1, "l": [1, torch.ones(2)]}, "l/1 is a tensor of shape (2,)"),
        ({"t": 1, "l": (1, torch.ones(1))}, "l is a tuple of 2; expected: a list of 2"),
        ({"t": 1, "l": [1]}, "l is a list of 1; expected: a list of 2"),
        ({"t": 1}, "l is missing"),
    ],
)
def test_buffers_keep_their_structure(after, words):
    class Changes(Annealed):
        def buffers(self, rng):
            return {"t": 1, "l": [1, torch.ones(1)]}

        def refresh(self, params, buffers):
            return after

        def losses(self, params, batch):
            return {"x": params["x"]["w"].sum()}

    with pytest.raises(cp.PluginError) as said:
        cp.run(Changes(), simgd(), steps=3)
    assert "its refresh returned buffers of another structure" in str(said.value) and words in str(said.value)


def test_a_checkpoint_without_the_numbers_is_no_checkpoint_of_this_game(tmp_path):
    """One of a version that kept tensors alone is not gone on from with the numbers of the start."""
    from counterplay.core.run.checkpoint import save_checkpoint
    from counterplay.core.storage.checkpoint_files import load_checkpoint, newest

    left = iter([False] * 3 + [True])
    cp.run(Annealed(), simgd(1.0), steps=6, out=tmp_path / "run", stop=lambda: next(left))
    tensors, numbers = load_checkpoint(newest(tmp_path / "run"))
    assert numbers.pop("buffers")["t"] == ["int", "3"]
    save_checkpoint(tmp_path / "run", 3, tensors, numbers)
    with pytest.raises(cp.BadLog, match="buffers/t is missing: it was saved by a version that kept tensors alone"):
        cp.resume(tmp_path / "run", game=Annealed(), solver=simgd(1.0))


def test_log_verify_sees_a_number_that_was_changed(tmp_path, cli):
    left = iter([False] * 3 + [True])
    cp.run(Annealed(), simgd(1.0), steps=6, out=tmp_path / "run", stop=lambda: next(left))
    assert cli("log", "verify", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "checkpoints" / "step-3" / "state.json"
    path.write_text(path.read_text().replace('"3"', '"2"', 1))
    assert cli("log", "verify", tmp_path / "run")[0] == 65
