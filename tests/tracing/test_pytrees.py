"""What a program is traced for: shapes, types, structures and constants; others are traced anew, but not for ever."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from counterplay.core.tracing import traced as trace
from counterplay.core.tracing.traced import traced

from ..support.traces import rand, same

pytestmark = pytest.mark.usefixtures("seeded")


def test_new_shapes_and_constants_trace_anew() -> None:
    def f(x: Tensor, batch: dict[str, Any]) -> Tensor:
        y = x * batch["scale"] if batch["scale"] is not None else x
        return y.flip(0) if batch["kind"] == "flip" else y

    replayed = traced(f)
    for x in (rand(3), rand(4), rand(2, 3), rand(3).float(), torch.arange(3)):
        for scale in (None, 1, 1.0, True, 2, 0.5, math.inf):
            for kind in ("flip", "keep"):
                trace_once = traced(f) if len(replayed._programs) > 20 else replayed
                arguments = x, {"scale": scale, "kind": kind}
                same(trace_once(*arguments), f(*arguments))
                assert trace_once.fallback is None


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


def test_structures() -> None:
    def f(pair: Pair, more: list[Any]) -> Any:
        return Pair(pair.right, pair.left * 2), {"a": (more[0], None, "x", 1.5, math.inf), "b": []}, more[1]

    arguments = Pair(rand(2), rand(3)), [rand(1), 3]
    replayed = traced(f)
    for _ in range(2):
        out = replayed(*arguments)
        assert type(out[0]) is Pair
        same(out, f(*arguments))
    assert replayed.fallback is None


def test_default_dtype_belongs_to_the_key() -> None:
    replayed = traced(lambda x: x + torch.ones(3))
    x = torch.zeros(3)
    assert replayed(x).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert replayed(x).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_changing_constant_stops_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "PROGRAMS", 3)
    replayed = traced(lambda x, step: x / (step + 1))
    for step in range(6):
        same(replayed(torch.ones(2), step), torch.ones(2) / (step + 1))
    assert replayed.fallback is not None and "more than 3 different" in replayed.fallback


def test_strides_do_not_matter() -> None:
    replayed = traced(lambda x: x.view(6).cumsum(0) * x.t().reshape(6))
    same(replayed(rand(2, 3)).shape, torch.Size([6]))
    x = rand(3, 2).t()
    same(replayed(x), x.reshape(6).cumsum(0) * x.t().reshape(6))
