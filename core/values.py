"""Values as users type them on the command line, in the environment and in files, and as they typed them.

A value is TOML: a number, true, a list or a table, else it is text. What TOML lacks is ``null``, which stands for "not
given": ``-s tol=null``; in a file ``{null = true}``. In quotes, '"null"', it is text.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .errors import UsageError

LARGEST = 2**63 - 1  # of what is counted
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LONGEST = 1 << 24  # bytes of a file
_NULL = {"null": True}


class _Float(float):
    """A number that shows itself as it was typed. Raises UsageError where a float cannot hold it."""

    def __new__(cls, text: str) -> _Float:
        number = super().__new__(cls, text)
        digits = text.lower().partition("e")[0]
        if math.isinf(number) and "inf" not in text.lower():
            raise UsageError(f"{text} is too large: a number is at most 1.7e308; inf is infinity.")
        if number == 0 and re.search("[1-9]", digits):
            raise UsageError(f"{text} is too small to be told from 0: a number is at least 5e-324.")
        return number

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class _Int(int):
    """A whole number that shows itself as it was typed."""

    def __new__(cls, number: int, text: str) -> _Int:
        return super().__new__(cls, number)

    def __init__(self, number: int, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def typed(text: str) -> Any:
    """One value as users type it; its numbers know how they were typed. ``.5`` and ``1.`` are numbers.

    Raises UsageError for a number that cannot be held.
    """
    if text == "null":
        return None
    try:  # in a list, so that a comment cannot hide what follows
        found = [text] if "\n" in text else tomllib.loads(f"value = [{text},]", parse_float=_Float)["value"]
    except tomllib.TOMLDecodeError:
        found = [_Float(text) if _NUMBER.fullmatch(text) else text]
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{text[:20]}… has too many digits or brackets.") from e
    if len(found) != 1 or not isinstance(found[0], (bool, int, float, str, list, dict)):  # a date is text
        return text
    (one,) = found
    if type(one) is int and str(one) != text:
        one = _Int(one, text)
    return nulls(one)


def value(text: str) -> Any:
    """One value as users type it, a plain one."""
    return plain(typed(text))


def from_toml(text: str) -> dict[str, Any]:
    """A TOML text as a table. Raises ValueError where it is none, UsageError for a number that cannot be held."""
    found: dict[str, Any] = nulls(tomllib.loads(text, parse_float=_Float))
    return found


def from_toml_file(path: str) -> dict[str, Any]:
    """The same from a file, which may be a pipe. Raises OSError as well."""
    with open(path, "rb") as file:
        text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise UsageError(f"longer than {_LONGEST:,} bytes, which is no experiment.")
    return from_toml(text.decode("utf-8-sig"))  # some editors put a mark before the first letter


def nulls(x: Any) -> Any:
    """The same with None for each ``{null = true}``, as which TOML has it."""
    if isinstance(x, Mapping):
        return None if x == _NULL else {k: nulls(v) for k, v in x.items()}
    return [nulls(v) for v in x] if isinstance(x, list) else x


def without_nulls(x: Any) -> Any:
    """The same with ``{null = true}`` for each None."""
    if isinstance(x, Mapping):
        return {k: without_nulls(v) for k, v in x.items()}
    return [without_nulls(v) for v in x] if isinstance(x, list) else dict(_NULL) if x is None else x


def plain(x: Any) -> Any:
    """The same without the memory of how its numbers were typed; what has none is handed back itself."""
    if type(x) is dict:
        made = {k: plain(v) for k, v in x.items()}
        return made if any(made[k] is not x[k] for k in x) else x
    if type(x) is list:
        items = [plain(v) for v in x]
        return items if any(a is not b for a, b in zip(items, x, strict=True)) else x
    return float(x) if isinstance(x, _Float) else int(x) if isinstance(x, _Int) else x


def whole(x: Any) -> Any:
    """The whole number that ``x`` is, also one written 1e4; ``x`` itself if it is none."""
    if not isinstance(x, float) or not x.is_integer():
        return x
    if not isinstance(x, _Float):
        return int(x)
    if abs(x) > 1e30:  # more than is ever counted, and than one would write out
        return _Int(int(x), x.text)
    exact = Decimal(x.text.replace("_", ""))  # of more digits than a float has
    return _Int(int(exact), x.text) if exact == exact.to_integral_value() else x
