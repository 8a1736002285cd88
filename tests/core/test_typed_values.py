"""Values as they are typed: what they are, how they show themselves, and what no number can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterplay.core.coerce import shown
from counterplay.core.errors import UsageError
from counterplay.core.typed_values import as_integer, from_toml, nulls, plain, typed, value, without_nulls


@pytest.mark.parametrize(
    "text", ["1e3", "1e-4", "1_000", "0x10", "+1", "-.5e3", "1.", "true", "false", "null", "[1e3, 2E1]", "'a'", "inf"]
)
def test_what_was_typed_is_shown(text: str) -> None:
    assert shown(typed(text)) == text
    assert type(plain(typed(text))) in (int, float, bool, str, list, type(None))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("null", None),
        ('"null"', "null"),
        ("none", "none"),
        ("Null", "Null"),
        ("[1, 'null']", [1, "null"]),
        ("{null = true}", None),
        ("{a = {null = true}}", {"a": None}),
        ("1 # 2", "1 # 2"),  # a comment would hide it
        ("1,", "1,"),
        ("1, 2", "1, 2"),
        ("1]", "1]"),
    ],
)
def test_null_and_what_is_text(text: str, expected: object) -> None:
    assert value(text) == expected and type(value(text)) is type(expected)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[0.1, 1e999]", "1.8e308", "{x = 1e400}", "9" * 400 + "."])
def test_what_is_larger_than_any_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is too large: a number is at most 1.7e308; inf is infinity"):
        typed(text)


@pytest.mark.parametrize("text", ["1e-400", "-.001e-323", "[1e-400]"])
def test_what_cannot_be_told_from_0_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is too small to be told from 0"):
        typed(text)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000])
def test_what_python_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has too many digits or brackets"):
        typed(text)


@pytest.mark.parametrize("text", ["0e-400", "0.0", "inf", "-inf", "5e-324", "1.7e308"])
def test_what_a_number_can_hold(text: str) -> None:
    assert value(text) == float(text)


@given(st.integers(-(10**18), 10**18), st.integers(0, 3))
@example(9_007_199_254_740_993, 0)
def test_whole_numbers_in_scientific_notation_are_exact(n: int, zeros: int) -> None:
    assert as_integer(typed(f"{n}e{zeros}")) == n * 10**zeros
    assert isinstance(as_integer(typed(f"{n}e{zeros}")), int)
    assert not isinstance(as_integer(typed(f"{n}5e-1")), int)


@pytest.mark.parametrize("x", [1.5, "1e4", True, None, float("inf"), [1.0]])
def test_what_is_no_whole_number_is_left_as_it_is(x: Any) -> None:
    assert as_integer(x) is x


def test_null_has_a_form_in_toml() -> None:
    table = {"a": None, "b": [None, {"c": None}], "d": {"null": False}}
    assert nulls(without_nulls(table)) == table
    assert from_toml("a = {null = true}\nb = 1e3") == {"a": None, "b": 1000.0}
