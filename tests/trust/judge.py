"""Plays a case and says what became of it.

right       everything that was compared is what plain torch says
refused     a UserError of one or two sentences, before any wrong number
said        a number that is not the derivative of what is played, and the log says so
unjudged    nothing was wrong, but nothing could be compared (a run that left, kinks everywhere)
wrong       a wrong number without a word
crash       another exception, or a refusal of more than a few sentences
overcautious   a refusal of what is common and pure
"""

from __future__ import annotations

import json
import random
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import counterplay as cp

from .built import Built
from .grammar import Case
from .losses import CUTTING
from .played import Played

FAILURES = ("wrong", "crash", "overcautious")


@dataclass(frozen=True)
class Verdict:
    kind: str
    where: str = ""
    detail: str = ""


class Wrong(Exception):
    """A number is not what it should be."""


def judge(case: Case, thorough: bool = True) -> Verdict:
    """What became of ``case``; ``thorough`` also looks at F', and compiles."""
    with _seeded(case.number):
        where = ["making the game"]
        try:
            return _judge(case, thorough, where)
        except cp.UserError as error:
            return _refused(case, where[0], str(error))
        except Wrong as error:
            kind = "said" if _said(case) else "wrong"
            return Verdict(kind, where[0], str(error))
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
            return Verdict("crash", where[0], text.replace("\n", " ")[:300])


def _judge(case: Case, thorough: bool, where: list[str]) -> Verdict:
    built = Built(case)
    played = Played(built, thorough)
    where[0] = "the run"
    played.run()
    if case.random is not None:
        raise Wrong(f"{case.random} was played without a word")
    compared = 0
    checks: list[tuple[str, Callable[[], Iterator[tuple[str, Tensor, Tensor, float]]], bool]] = [
        ("parameters", played.parameters, True),
        ("v and losses", played.field, True),
        ("step", played.steps, True),
        ("products", played.products, case.dtype == "float64"),
        ("F'", played.update, thorough and case.dtype == "float64" and case.members is None),
        ("traced", played.traced, case.trace),
        ("compiled", played.compiled, thorough and case.compile),
        ("resumed", played.resumed, case.resume),
    ]
    for name, check, due in checks:
        where[0] = name
        for what, found, expected, allowed in check() if due else ():
            _same(what, found, expected, allowed)
            compared += 1
    return Verdict("right" if compared else "unjudged", "", f"{compared} compared")


def _same(what: str, found: Tensor, expected: Tensor, allowed: float) -> None:
    """Raise Wrong unless the two agree to ``allowed``, absolutely."""
    if found.shape != expected.shape:
        raise Wrong(f"{what}: shape {tuple(found.shape)}, {tuple(expected.shape)} expected")
    found, expected = found.detach().double(), expected.detach().double()
    error = float((found - expected).abs().max()) if found.numel() else 0.0
    if not error <= allowed:
        size = float(expected.abs().max())
        raise Wrong(f"{what}: off by {error:.3g}, {allowed:.1g} allowed, the size is {size:.3g}")


def _refused(case: Case, where: str, text: str) -> Verdict:
    if len(text) > 600 or "\n" in text.strip():
        return Verdict("crash", where, f"a refusal of {len(text)} characters: {text:.300}")
    derivatives = where in ("products", "F'") and case.twist in CUTTING  # which may be refused where v may not
    return Verdict("overcautious" if case.must and not derivatives else "refused", where, text)


def _said(case: Case) -> bool:
    """Whether the log of a run of this case says that something is not known, or not what it seems."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            Played(Built(case)).log(folder)
            facts = json.loads((Path(folder) / "run" / "run.json").read_text(encoding="utf-8"))
        except Exception:
            return False
    return any(s in ("unknown", "inexact", "differs") for s in _statuses(facts.get("checks", {})))


def _statuses(x: Any) -> Iterator[str]:
    if isinstance(x, dict):
        for key, value in x.items():
            if key == "status":
                yield str(value)
            yield from _statuses(value)


@contextmanager
def _seeded(n: int) -> Iterator[None]:
    torch.manual_seed(n)
    random.seed(n)
    np.random.seed(n)
    yield
