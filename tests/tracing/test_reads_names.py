"""Variables, containers, functions and modules that a loss reads."""

from __future__ import annotations

import functools
import math
import sys
import types
from typing import Any

import pytest
import torch
from torch import nn

import counterplay as cp

from ..support.changing_games import Act, Make, assert_seen, closure, in_a_list, of, once

LEVEL = 1.0
SELF = sys.modules[__name__]


def in_a_dictionary() -> tuple[cp.Game, Act]:
    alpha = {"deep": {"er": (1.0, [1.0])}}
    return of(lambda: alpha["deep"]["er"][1][0]), once(lambda: alpha["deep"]["er"][1].__setitem__(0, 2.0))


def appended() -> tuple[cp.Game, Act]:
    seen: list[float] = []
    return of(lambda: 1.0 + len(seen)), once(lambda: seen.append(1.0))


def a_global() -> tuple[cp.Game, Act]:
    setattr(SELF, "LEVEL", 1.0)  # noqa: B010
    return of(lambda: LEVEL), once(lambda: setattr(SELF, "LEVEL", 2.0))


def a_global_of_a_module() -> tuple[cp.Game, Act]:
    module: Any = types.ModuleType("settings_of_someone")
    module.level = 1.0
    return of(lambda: module.level), once(lambda: setattr(module, "level", 2.0))


def through_functions() -> tuple[cp.Game, Act]:
    box = types.SimpleNamespace(inner=types.SimpleNamespace(value=1.0))

    def deeper() -> Any:
        return box.inner

    def weight() -> float:
        return sum(v for v in [deeper().value])

    return of(weight), once(lambda: setattr(box, "inner", types.SimpleNamespace(value=2.0)))


def a_default() -> tuple[cp.Game, Act]:
    def weight(alpha: float = 1.0) -> float:
        return alpha

    return of(weight), once(lambda: setattr(weight, "__defaults__", (2.0,)))


def a_default_list() -> tuple[cp.Game, Act]:
    def weight(*, alpha: Any = [1.0]) -> float:  # noqa: B006
        return alpha[0]

    defaults = weight.__kwdefaults__ or {}
    defaults["alpha"][0] = 1.0
    return of(weight), once(lambda: defaults["alpha"].__setitem__(0, 2.0))


def a_keyword_of_a_partial() -> tuple[cp.Game, Act]:
    weight = functools.partial(lambda alpha: alpha, alpha=1.0)
    return of(weight), once(lambda: weight.keywords.__setitem__("alpha", 2.0))


def a_schedule() -> tuple[cp.Game, Act]:
    alpha = [1.0]
    return of(lambda: alpha[0]), lambda step: alpha.__setitem__(0, 1.0 if step < 1 else 2.0)


def a_learning_rate() -> tuple[cp.Game, Act]:
    """Of an optimiser of the user's own, with a schedule."""
    optimiser = torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1)

    def act(step: int) -> None:
        optimiser.step()
        schedule.step()

    return of(lambda: optimiser.param_groups[0]["lr"]), act


def a_decorated_function() -> tuple[cp.Game, Act]:
    alpha = [1.0]

    @torch.no_grad()
    def weight() -> float:
        return alpha[0]

    return of(weight), once(lambda: alpha.__setitem__(0, 2.0))


def by_a_module_s_getattr() -> tuple[cp.Game, Act]:
    module, held = types.ModuleType("lazy_settings"), {"alpha": 1.0}
    setattr(module, "__getattr__", lambda name: held[name])  # noqa: B010
    return of(lambda: module.alpha), once(lambda: held.update(alpha=2.0))


class Dot(dict):
    """A dictionary whose missing attributes are KeyErrors."""

    __getattr__ = dict.__getitem__


def by_dots() -> tuple[cp.Game, Act]:
    config: Any = Dot(alpha=1.0)
    return of(lambda: config.alpha), once(lambda: config.update(alpha=2.0))


def in_place_of_a_library_s() -> tuple[cp.Game, Act]:
    setattr(math, "mine", lambda: 1.0)  # noqa: B010
    game = of(lambda: math.mine())  # type: ignore[attr-defined]
    return game, once(lambda: setattr(math, "mine", lambda: 2.0))


CHANGES = [
    closure, in_a_list, in_a_dictionary, appended, a_global, a_global_of_a_module, through_functions, a_default,
    a_default_list, a_keyword_of_a_partial, a_schedule, a_learning_rate, a_decorated_function,
    by_a_module_s_getattr, by_dots, in_place_of_a_library_s,
]  # fmt: skip


@pytest.mark.parametrize("make", CHANGES, ids=lambda f: f.__name__)
def test_what_changes_is_seen(make: Make) -> None:
    assert_seen(make)
