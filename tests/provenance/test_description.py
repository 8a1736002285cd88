"""Descriptions of objects: the same in every process, and different for what computes differently."""

from __future__ import annotations

import array
import collections
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn

from counterplay.core.provenance.description import describe
from counterplay.core.provenance.remaking import equal_values

HOSTILE = """
import functools, itertools, threading, types, torch, counterplay as cp
from counterplay.core.provenance.description import describe
from counterplay.core.storage.run_directory import dumps
class Data(torch.utils.data.Dataset):
    def __init__(self): self.x, self.lock = torch.arange(5.), threading.Lock(); self.me = self
    def __len__(self): return 5
    def __getitem__(self, i): return self.x[i]
    @functools.cached_property
    def later(self): return object()
torch.manual_seed(0)
data, odd = Data(), {object: {"b", "a", "c"}, "f": lambda x: x in {"p", "q", "r"}}
def f(p, b, *, deep=[[[[[[[[{1: 2}]]]]]]]]): return data.x.sum() + len(odd) + g(p)
def g(p): return f
many = list(range(10_000))
things = [f, data, odd, functools.partial(f, 1), functools.lru_cache(g), torch.nn.Linear(2, 2).eval().forward, many,
    iter(many), itertools.count(), types.SimpleNamespace(a=1), torch.compile, torch.func.grad(f), 10**30, float("inf"),
    "x" * 9999, "\\ud800", torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, device="meta"), data.__len__, Data, cp]
for thing in things: print(dumps(describe(thing), None), end="")
"""


def test_a_description_is_the_same_in_every_process(tmp_path: Path) -> None:
    said = set()
    (tmp_path / "script.py").write_text(HOSTILE)
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1 and "0x" not in said.pop()


class Slotted:
    __slots__ = ("weight",)

    def __init__(self, weight: float) -> None:
        self.weight = weight


def test_a_description_tells_what_computes_differently() -> None:
    def made(n: int) -> Callable[[], int]:
        return lambda: n

    pairs = [(made(1), made(2)), (lambda x: x + 1, lambda x: x + 2), (lambda x: x.a, lambda x: x.b), (1, True)]
    pairs += [(torch.zeros(2), torch.zeros(2).double()), (functools.partial(made, 1), functools.partial(made, 2))]
    pairs += [(list(range(1000)), list(range(1, 1001))), (nn.Dropout(0.1), nn.Dropout(0.2)), ("x" * 999, "x" * 998)]
    pairs += [(Slotted(1), Slotted(2)), (Fraction(1, 2), Fraction(1, 3)), (range(3), range(4)), (slice(1), slice(2))]
    pairs += [(collections.deque([1]), collections.deque([2])), (bytearray(b"a"), bytearray(b"b"))]
    pairs += [
        (array.array("d", [1.0]), array.array("d", [2.0])),
        (timedelta(1), timedelta(2)),
        (Decimal(1), Decimal(2)),
    ]
    for a, b in pairs:
        assert not equal_values(describe(a), describe(b)), (describe(a), describe(b))
    assert describe(made(1)) == describe(made(1)) and describe(nn.Linear(2, 2)).keys() == describe(nn.ReLU()).keys()
