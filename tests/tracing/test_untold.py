"""What cannot be looked at is not replayed, and what nobody saw ends the run: both are said."""

from __future__ import annotations

import ctypes
import itertools
import math
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.compiled import c_compiler
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.errors import Stale
from counterplay.core.loop.stopping import Condition
from counterplay.core.tracing.guards import Guard

from ..support.cases import simgd
from ..support.changing_games import Net, WithNet, a_counter, asked_twice, in_a_list, of


class Hiding:
    def __getattribute__(self, name: str) -> Any:
        return {"alpha": 1.0}[name]


UNTOLD: dict[str, tuple[Callable[[], Any], str]] = {
    "random": (lambda: 1 + 1e-3 * random.random(), "random"),
    "numpy": (lambda: 1 + 1e-3 * np.random.rand(), "numpy"),
    "replay": (lambda: 1 + 1e-3 * (time.time() % 1), "time"),
    "iterator": ((lambda it: lambda: 1 + 1e-3 * next(it))(itertools.count()), "moves on"),
    "generator": ((lambda it: lambda: 1 + 1e-3 * next(it))(float(n) for n in range(99)), "moves on"),
    "rng": ((lambda r: lambda: 1 + 1e-3 * r.random())(np.random.default_rng(0)), "cannot be looked into"),
    "large array": ((lambda a: lambda: float(a[0]))(np.ones(10**5)), "array of 800000 bytes"),
    "file": ((lambda path: lambda: len(path.read_bytes()))(Path(__file__)), "read_bytes"),
    "numpy's file": (lambda flag=True: 1.0 if flag else np.load(""), "numpy"),
    "object of C": ((lambda number: lambda: number.value)(ctypes.c_double(1.0)), "cannot be looked into"),
    "object that hides": ((lambda x: lambda: x.alpha)(Hiding()), "cannot be looked into"),
    "output": (lambda: print(end="") or 1.0, "print"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_what_cannot_be_told_is_not_replayed(name: str) -> None:
    weight, reason = UNTOLD[name]
    table = asked_twice(of(weight))
    assert reason in table.trace_context.why_eager and not table._replayed.field._programs


def test_what_stays_is_replayed() -> None:
    net, images = Net(np.zeros(10**6)).eval(), np.zeros(10**6)

    class Data:
        def __init__(self) -> None:
            self.images, self.level, self.replay = images, 1.0, time

        def sample(self, rng: torch.Generator) -> Any:
            return {"x": torch.from_numpy(self.images[:3]), "now": self.replay.time(), "luck": random.random()}

        def weight(self) -> Any:
            return self.level * net(torch.ones(2, dtype=torch.float64)) * math.exp(0.0) * np.sqrt(4.0)

    data, tanh = Data(), torch.tanh  # a function in C of a module that also reads files
    held = of(lambda: tanh(torch.ones((), dtype=torch.float64)))
    games = [WithNet(net), of(data.weight, data.sample), held, cp.make("game", "quadratic")]
    for game in games:
        table = asked_twice(game)
        assert table.trace_context.why_eager == "" and [*table._replayed.field._programs.values()] != [None], (
            table._replayed.field.fallback
        )


def test_why_nothing_is_replayed_is_told() -> None:
    told = cp.run(of(UNTOLD["large array"][0]), simgd(0.01), steps=3, trace=True).eager
    assert told == "Losses are not replayed: it reads a, an array of 800000 bytes: a tensor would do."
    told = cp.run(a_counter()[0], simgd(0.01), steps=9, trace=True).eager
    assert told == "Losses are not replayed: what it reads changes again and again: seen."
    assert cp.run(of(lambda: 1.0), simgd(0.01), steps=3, trace=True).eager == ""


def test_what_changes_again_and_again_runs_as_written() -> None:
    alpha = [1.0]
    game = of(lambda: alpha[0])
    table, params = Evaluator(game, trace=True), game.init(torch.Generator())
    for n in range(8):
        alpha[0] = 1.0 + n
        assert table.field(("x",), params, {})[0]["x"]["w"][0] == alpha[0] * 0.25 + 1.0
    assert "again and again" in str(table._replayed.field.fallback) and table._replayed.field._changes == 4


def changed_unseen(at: int, steps: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """What is said of a run in which a number changes after step ``at``, which no guard sees."""
    monkeypatch.setattr(Guard, "same", lambda self: True)
    game, _ = in_a_list()
    box = vars(game)["of"].__closure__[0].cell_contents.__closure__[0].cell_contents
    change = cp.Every(at, lambda seen: box.__setitem__(0, 1.0 + (seen.step >= at)))
    with pytest.raises(Stale) as told:
        cp.run(game, options.pop("solver", simgd(0.001)), steps=steps, observers=[change], **options)
    return str(told.value)


@pytest.mark.parametrize("solver", ["simgd", pytest.param("cgd", marks=pytest.mark.slow)])
def test_a_change_that_nothing_sees_ends_the_run(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = changed_unseen(6, 40, monkeypatch, trace=True, solver=cp.make("solver", solver, lr=0.001))
    assert re.match(
        r"the losses of the game GameFromLosses read something that has changed since step \d+,.*: what was computed "
        r"from there to step (15|31) cannot be trusted\. .*trace=False and compile=False",
        told,
    )


@pytest.mark.parametrize("until", [None, "gradient_norm<1e6"])
def test_a_change_after_the_last_look_is_told_where_the_run_ends(
    until: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where a condition holds, and to whoever would go on from there."""
    steps = itertools.count(1)
    monkeypatch.setattr(Condition, "holds", lambda self, figures: next(steps) == 20)
    end = 20 if until is None else 19
    told = changed_unseen(17, 20, monkeypatch, trace=True, out=tmp_path / "r", until=until)
    assert re.search(f"since step 15,.* to step {end} cannot be trusted", told)
    with pytest.raises(cp.UsageError, match="what it computed from step 15 on cannot be trusted"):
        cp.resume(tmp_path / "r", game=in_a_list()[0])


@pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")
@pytest.mark.parametrize(
    ("at", "steps", "words"),
    [(18, 40, "step 18,.* to step 40"), pytest.param(6, 40, "step 0,.* to step 18", marks=pytest.mark.slow)],
)
def test_so_it_is_of_a_compiled_run(at: int, steps: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(f"{words} cannot be trusted", changed_unseen(at, steps, monkeypatch, compile=True))
