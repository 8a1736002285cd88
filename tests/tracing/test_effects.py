"""What a loss leaves behind is what it leaves when nothing is replayed."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

import counterplay as cp

from ..support.changing_games import asked_twice, followed, of


class Effects:
    """Losses that leave something behind."""

    def __init__(self) -> None:
        self.count = 0
        self.history: list[Tensor] = []
        self.kept: Tensor | None = None
        self.known: dict[str, Tensor] = {}

    def counts(self) -> float:
        self.count += 1
        return 1.0

    def keeps(self) -> Tensor:
        self.kept = torch.ones(2, dtype=torch.float64)
        return self.kept

    def collects(self) -> Tensor:
        self.history.append(torch.ones(2, dtype=torch.float64))
        return self.history[-1]

    def remembers(self) -> Tensor:
        if "made" not in self.known:
            self.known["made"] = torch.full((2,), 1.5, dtype=torch.float64)
        return self.known["made"]

    @functools.cached_property
    def made(self) -> Tensor:
        return torch.full((2,), 1.5, dtype=torch.float64)


def tensors_of(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [t for v in x for t in tensors_of(v)] if isinstance(x, list) else []


@pytest.mark.parametrize("name", ["counts", "keeps", "collects", "remembers", "made"])
@pytest.mark.parametrize("solver", ["simgd", pytest.param("cgd", marks=pytest.mark.slow)])
def test_what_is_left_behind_is_the_eager_runs(name: str, solver: str) -> None:
    """No tensor without numbers ever lands in a user's object, and nothing happens once too often."""
    runs, left = [], []
    for t in (False, True):
        effects = Effects()
        weight = (lambda e: lambda: e.made)(effects) if name == "made" else getattr(effects, name)
        runs.append(followed(lambda: (of(weight), lambda _: None), cp.make("solver", solver, lr=0.01), trace=t))  # noqa: B023
        left.append([effects.count, len(effects.history)])
        for x in tensors_of([effects.kept, effects.history, *effects.known.values()]):
            assert type(x) is Tensor and x.sum().item() > 0
    assert left[0] == left[1]
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


def test_what_is_made_once_is_replayed() -> None:
    effects = Effects()
    table = asked_twice(of(lambda: effects.made * effects.remembers()))
    assert len(table._replayed.field._programs) == 1 and table._replayed.field.fallback is None
    assert type(effects.made) is type(effects.known["made"]) is Tensor
