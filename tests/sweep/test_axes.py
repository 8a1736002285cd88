"""The axes of a sweep, from what is typed and from a file."""

from __future__ import annotations

import re
from typing import Any

import pytest

from counterplay.core.errors import UsageError
from counterplay.core.sweep.axes import as_members, file_axes, seeds_in, typed_axes, values_in

NOTHING: dict[str, Any] = {
    **dict.fromkeys(("game", "solver", "loss", "seeds", "seed")),
    **dict.fromkeys(("g", "s", "l", "r", "regularizer"), ()),
}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,1e-2", ["1e-3", "1e-2"]),
        ("[0.5,0.9], [0.9,0.99]", ["[0.5,0.9]", "[0.9,0.99]"]),
        ('{name="cgd",tol=1e-2},simgd', ['{name="cgd",tol=1e-2}', "simgd"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("it's,here", ["it's", "here"]),
        ("gradient_norm<1e-6", ["gradient_norm<1e-6"]),
        ("f(a,b),c", ["f(a,b)", "c"]),
        ("", [""]),
    ],
)
def test_commas_at_the_top_level_separate_values(text: str, values: list[str]) -> None:
    assert values_in(text) == values


def test_what_is_typed_becomes_axes() -> None:
    given = {
        "game": "quadratic", "solver": "simgd,cgd", "s": ("lr=0.1,0.2", "rule.betas=[0.5,0.9]", "lr.x=1"),
        "regularizer": ("r1,null", "l2"), "r": ("r1.gamma=1,2",), "steps": "1e2,2e2", "dtype": "float64",
        "seeds": "0:3", "compile": False, "out": "here",
    }  # fmt: skip
    assert typed_axes({**NOTHING, **given}) == {
        "game": ["quadratic"], "solver": ["simgd", "cgd"], "solver.lr": [0.1, 0.2], "solver.rule.betas": [[0.5, 0.9]],
        "solver.lr.x": [1], "regularizers": [["r1", "l2"], ["l2"]], "regularizers.r1.gamma": [1, 2],
        "steps": [100.0, 200.0], "dtype": ["float64"], "compile": [False], "seed": [0, 1, 2],
    }  # fmt: skip


def test_a_file_has_axes_too() -> None:
    table = {"solver": {"lr": [0.1, 0.2], "rule": {"name": ["sgd", "adam"]}}, "seeds": "0:2", "zip": ["lr", "name"]}
    axes = {"solver.lr": [0.1, 0.2], "solver.rule.name": ["sgd", "adam"], "seed": [0, 1]}
    assert file_axes(table) == (axes, [["lr", "name"]])
    assert file_axes({"zip": [["a", "b"], ["c", "d"]]}) == ({}, [["a", "b"], ["c", "d"]])


def test_seeds_become_members() -> None:
    axes: dict[str, list[Any]] = {"solver": ["simgd"], "seed": [5, 6, 7]}
    as_members(axes)
    assert axes == {"solver": ["simgd"], "seed": [5], "members": [3]}
    for seeds in ([], [1, 3]):
        with pytest.raises(UsageError, match="needs seeds that follow one another"):
            as_members({"seed": seeds})


def test_seeds_are_ranges_and_numbers() -> None:
    assert seeds_in("0:3,7,9:14:2,1") == [0, 1, 2, 7, 9, 11, 13]
    for text in ("", "a", "3:3", "1:0", "-1:2", "0:9:0", "1,,2", "99999999999999999999", "0:9999999"):
        with pytest.raises(UsageError):
            seeds_in(text)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: values_in("1,,2"), "'1,,2' has a value that is empty"),
        (lambda: typed_axes({**NOTHING, "s": ("lr",)}), "-s 'lr': expected key=value"),
        (lambda: typed_axes({**NOTHING, "s": ("lr=1,",)}), "-s lr=1,: '1,' has a value that is empty"),
        (lambda: file_axes([1]), "sweep: expected a table of axes"),
        (lambda: file_axes({"solver": "simgd"}), "sweep.solver: expected a list of values, got 'simgd'"),
        (lambda: file_axes({"seeds": 3}), "sweep.seeds: expected a list of values, got 3"),
        (lambda: file_axes({"zip": "lr"}), "sweep.zip: expected a list of axes"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        call()
