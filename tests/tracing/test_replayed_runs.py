"""Runs that are replayed from some step on are the runs as written, step by step."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.compiled import c_compiler
from counterplay.core.game.tree import leaves
from counterplay.core.run import engine

from ..support.cases import simgd
from ..support.changing_games import (
    Act,
    Make,
    a_class_attribute,
    a_counter,
    a_target_network,
    assert_followed,
    closure,
    eval_mode,
    followed,
    in_a_list,
    of,
    once,
)


def slow(x: Any) -> Any:
    return pytest.param(x, marks=pytest.mark.slow)


def memory_of_numpy() -> tuple[cp.Game, Act]:
    """Whose writes no tensor counts."""
    array = np.ones(2)
    target = torch.from_numpy(array)
    return of(lambda: target), once(lambda: array.fill(2.0))


@pytest.mark.parametrize("name", ["conopt", *map(slow, ("cgd", "lola", "unrolled"))])
@pytest.mark.parametrize("make", [closure, *map(slow, (eval_mode, a_counter))])
def test_in_products_and_in_shaped_games(make: Make, name: str) -> None:
    assert_followed(make, cp.make("solver", name, lr=0.01), steps=4)


@dataclasses.dataclass(frozen=True)
class Growing(cp.Regularizer):
    """A user's penalty whose weight is no option."""

    state: dict[str, float]

    def penalties(self, game: cp.Game, params: Any, batch: Any) -> dict[str, Tensor]:
        return {"x": self.state["weight"] * params["x"]["w"].square().sum()}


@pytest.mark.parametrize("members", [2, slow(None)])
def test_in_regularizers(members: int | None) -> None:
    runs = []
    for t in (False, True):
        state = {"weight": 0.1}
        runs.append(
            followed(
                lambda: (of(lambda: 1.0), once(lambda: state.update(weight=1.0))),  # noqa: B023
                simgd(0.01), trace=t, regularizers=[Growing(state)], members=members,
            )
        )  # fmt: skip
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [in_a_list, *map(slow, (a_counter, a_target_network))])
def test_where_graphs_take_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is never replayed and one that is from step 5 on."""
    monkeypatch.setattr(engine, "TRACE_FROM", 5)
    for a, b in zip(followed(make, simgd(0.01), trace=False), followed(make, simgd(0.01)), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(c_compiler.compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("make", [in_a_list, *map(slow, (closure, a_class_attribute, memory_of_numpy))])
def test_compiled_steps_follow(make: Make, tmp_path: Any) -> None:
    """An observer every so many steps changes what was written out as numbers."""
    ends = []
    for t in (False, True):
        game, act = make()

        class Now:
            every = 6

            def __call__(self, s: Any) -> None:
                act(s.step)  # noqa: B023

        solver = cp.make("solver", "simgd", lr=0.01, rule="momentum")
        ends.append(cp.run(game, solver, steps=40, trace=False, compile=t, observers=[Now()], out=tmp_path / str(t)))
    assert not ends[1].eager
    for a, b in zip(*(leaves(e.params) for e in ends), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_an_alternating_number_is_not_compiled_for_ever() -> None:
    alpha = [1.0]
    runs = []
    for t in (False, True):
        seen: list[Tensor] = []

        def observer(s: Any) -> None:
            alpha[0] = 1.0 + s.step % 2
            seen.append(torch.cat(leaves(s.params)))  # noqa: B023

        cp.run(of(lambda: alpha[0]), simgd(0.01), steps=12, trace=False, compile=t, observers=[observer])
        runs.append(torch.stack(seen))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-12, atol=1e-12)
