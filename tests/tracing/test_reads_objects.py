"""Objects and classes that a loss reads: attributes wherever Python finds them, and how they are looked up."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import counterplay as cp
from counterplay.core.game.adapters import GameFromLosses

from ..support.changing_games import START, Act, Make, a_class_attribute, assert_seen, of, once


class Owner:
    level = 1.0
    __slots__ = ("other", "scale")

    def __init__(self) -> None:
        self.scale, self.other = 1.0, np.zeros(10**6)

    def weight(self) -> float:
        return self.level * self.scale


def a_slot() -> tuple[cp.Game, Act]:
    owner = Owner()
    return of(owner.weight), once(lambda: setattr(owner, "scale", 2.0))


def an_attribute_over_that_of_its_class() -> tuple[cp.Game, Act]:
    class Own(Owner):
        __slots__ = ("__dict__",)

    owner = Own()
    return of(owner.weight), once(lambda: setattr(owner, "level", 2.0))


def a_base_class() -> tuple[cp.Game, Act]:
    class Base:
        level = 1.0

    class Derived(Base):
        @classmethod
        def weight(cls) -> float:
            return super().__getattribute__(cls, "level") if False else cls.level

    return of(Derived.weight), once(lambda: setattr(Base, "level", 2.0))


def a_local_class() -> tuple[cp.Game, Act]:
    box = {"alpha": 1.0}

    class Weight:
        def __init__(self) -> None:
            self.value = box["alpha"]

        def __mul__(self, other: Tensor) -> Tensor:
            return other * self.value

    return of(Weight), once(lambda: box.update(alpha=2.0))


def of_a_metaclass() -> tuple[cp.Game, Act]:
    class Meta(type):
        beta: float

        @property
        def alpha(cls) -> float:
            return cls.beta

    class Own(metaclass=Meta):
        beta = 1.0

    return of(lambda: Own.alpha), once(lambda: setattr(Own, "beta", 2.0))


def another_class() -> tuple[cp.Game, Act]:
    class One:
        def weight(self) -> float:
            return 1.0

    class Two(One):
        def weight(self) -> float:
            return 2.0

    owner = One()
    return of(lambda: owner.weight()), once(lambda: setattr(owner, "__class__", Two))


def another_base() -> tuple[cp.Game, Act]:
    class One:
        def weight(self) -> float:
            return 1.0

    class Two:
        def weight(self) -> float:
            return 2.0

    class Own(One):
        pass

    return of(Own().weight), once(lambda: setattr(Own, "__bases__", (Two,)))


def a_callable_object() -> tuple[cp.Game, Act]:
    class Losses:
        def __init__(self) -> None:
            self.alpha, self.data = 1.0, np.zeros(10**6)

        def __call__(self, p: Any, b: Any) -> Any:
            return {i: self.alpha * t["w"].square().sum() for i, t in p.items()}

    losses = Losses()
    return cp.game_from_losses(losses, START), once(lambda: setattr(losses, "alpha", 2.0))


class Mode(enum.Enum):
    ON = [1.0]  # noqa: RUF012


def in_an_enumeration() -> tuple[cp.Game, Act]:
    Mode.ON.value[0] = 1.0
    return of(lambda: Mode.ON.value[0]), once(lambda: Mode.ON.value.__setitem__(0, 2.0))


def a_named_tuple() -> tuple[cp.Game, Act]:
    Pair = collections.namedtuple("Pair", "a b")
    pairs = collections.deque([Pair(1.0, 0.0)])
    return of(lambda: pairs[-1].a), once(lambda: pairs.append(Pair(2.0, 0.0)))


@dataclasses.dataclass
class Config:
    alpha: float = 1.0
    unread: Any = None

    @property
    def twice(self) -> float:
        return 2 * self.alpha


def a_property_of_a_dataclass() -> tuple[cp.Game, Act]:
    config = Config(unread=iter([]))
    return of(lambda: config.twice), once(lambda: setattr(config, "alpha", 2.0))


def by_getattr() -> tuple[cp.Game, Act]:
    config = Config()
    names = ["al", "pha"]
    return of(lambda: getattr(config, "".join(names))), once(lambda: setattr(config, "alpha", 2.0))


def by_a_pattern() -> tuple[cp.Game, Act]:
    config = Config()

    def weight() -> float:
        match config:
            case Config(alpha=value):
                return value
        return 0.0

    return of(weight), once(lambda: setattr(config, "alpha", 2.0))


def hidden() -> tuple[cp.Game, Act]:
    """A number where nobody looks: behind an attribute whose name is made up while it runs."""
    config = Config()
    look = vars(config).get
    return of((lambda name: lambda: look(name))("alpha")), once(lambda: setattr(config, "alpha", 2.0))


def an_object_in_the_batch() -> tuple[cp.Game, Act]:
    config = Config()
    game = cp.game_from_losses(lambda p, b: {i: b["c"].alpha * t["w"].square().sum() for i, t in p.items()}, START)
    assert isinstance(game, GameFromLosses)
    held = dataclasses.replace(game, draw=lambda rng: {"c": config})
    return held, once(lambda: setattr(config, "alpha", 2.0))


CHANGES = [
    a_class_attribute, a_slot, an_attribute_over_that_of_its_class, a_base_class, a_local_class, of_a_metaclass,
    another_class, another_base, a_callable_object, in_an_enumeration, a_named_tuple, a_property_of_a_dataclass,
    by_getattr, by_a_pattern, hidden, an_object_in_the_batch,
]  # fmt: skip


@pytest.mark.parametrize("make", CHANGES, ids=lambda f: f.__name__)
def test_what_changes_is_seen(make: Make) -> None:
    assert_seen(make)
