"""Options: read from a dataclass, coerced to their types, and described where a value does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from counterplay.core.coerce import SETTING, Mismatch, coerce, describe
from counterplay.core.game.loss import GanLoss
from counterplay.core.game.tree import Setting
from counterplay.core.options import MISSING, Count, Decay, NonNegative, Positive, option, options_of
from counterplay.core.solver.solver import Solver


def _no_objects(cls: type, value: Any) -> Any:
    raise Mismatch


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (float, np.float32(0.5), 0.5),
        (float, torch.tensor(2.0), 2.0),
        (float, float("inf"), float("inf")),
        (int, 1e4, 10000),
        (int, np.int64(3), 3),
        (bool, True, True),
        (str, "a", "a"),
        (Path, "a/b", Path("a/b")),
        (float | None, None, None),
        (Literal["auto", "dense"], "dense", "dense"),
        (Literal[1, 2], 2, 2),
        (Literal[0.5, 1.5], 1.5, 1.5),
        (Path | float, "a", Path("a")),  # msgspec takes neither
        (Path | float, 1, 1.0),
        (tuple[float, float], [0, 0.5], (0.0, 0.5)),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (list[float], (1, 2), [1.0, 2.0]),
        (list[str], [], []),
        (dict[str, int], {"x": 2}, {"x": 2}),
        (Setting, 1, 1.0),
        (Setting, [1, 2], [1.0, 2.0]),
        (Setting, np.linspace(0, 1, 3), [0.0, 0.5, 1.0]),
        (Setting, {"x": 1, "y": [1, 2]}, {"x": 1.0, "y": [1.0, 2.0]}),
        (int | str, "auto", "auto"),
        (Count, 1, 1),
        (NonNegative | None, 0, 0.0),
        (Any, object, object),
    ],
)
def test_coercion(annotation: Any, value: Any, expected: Any) -> None:
    got = coerce(value, annotation, _no_objects)
    assert got == expected and type(got) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (float, "abc", "a number"),
        (float, True, "a number"),
        (float, float("nan"), "a number"),
        (int, 1.5, "a whole number"),
        (int, float("inf"), "a whole number"),
        (int, False, "a whole number"),
        (bool, 1, "true or false"),
        (str, 5, "text"),
        (Literal["auto", "dense"], "dens", "one of 'auto', 'dense'"),
        (Literal[1], True, "one of 1"),
        (tuple[float, float], [1], "a list of 2 numbers"),
        (tuple[int, str], [1, 2], "a list of a whole number, text"),
        (tuple[int, ...], 3, "a list of whole numbers"),
        (list[str], 5, "a list of texts"),
        (dict[str, float], [1], "a table {name: a number}"),
        (Setting, "abc", "a number, a list of numbers (one per member) or a table {player: number}"),
        (Setting, {"x": "a"}, "a number, a list of numbers (one per member) or a table {player: number}"),
        (float | None, "x", "a number or null"),
        (torch.Tensor, 3, "a tensor"),
        (Count, 0, "a whole number, 1 or more"),
        (Positive | None, 0, "a number, more than 0 or null"),
        (Decay, 1, "a number, 0 or more, less than 1"),
    ],
)
def test_mismatches_are_described(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(Mismatch):
        coerce(value, annotation, _no_objects)
    assert describe(annotation) == words


def test_setting_is_the_tree_modules() -> None:
    assert SETTING == Setting


def test_options_are_read_from_fields_and_docstrings() -> None:
    @dataclass(frozen=True)
    class Thing:
        """A thing.

        width: how wide it is
        """

        width: int
        depth: float = option(2.0, "how deep")
        names: list[str] = option(["a"], "who")
        _hidden: int = 3

    width, depth, names = options_of(Thing)
    assert (width.name, width.default, width.help) == ("width", MISSING, "how wide it is")
    assert (depth.default, depth.help) == (2.0, "how deep")
    assert names.default == ["a"] and Thing(1).names is not Thing(1).names


def test_options_stand_as_the_arguments_do() -> None:
    @dataclass(kw_only=True)
    class Solve:
        tol: float = option(1e-6, "how exactly")

    @dataclass
    class Method(Solve):
        lr: float = option(0.1, "how far")

    assert [o.name for o in options_of(Method)] == ["lr", "tol"]


def test_an_object_is_said_to_be_of_its_kind() -> None:
    assert describe(GanLoss) == "a loss" and describe(Solver | None) == "a solver or null"
