"""Values that users type on the command line, in the environment and in files; numbers remember how they were typed.

A value is TOML (a number, true, a list or a table), or else text. One thing is added: ``null`` means "not given", as in
``-s tol=null``; in a file it is ``{null = true}``. In quotes, '"null"', it is text.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .errors import UsageError

LARGEST = 2**63 - 1  # the largest whole number that an option accepts
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LONGEST = 1 << 24  # the largest size of a TOML file in bytes
_NULL = {"null": True}


class _Float(float):
    """A number whose repr is the text that was typed. Raises UsageError if it is too large or too small for a float."""

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
    """A whole number whose repr is the text that was typed."""

    def __new__(cls, number: int, text: str) -> _Int:
        return super().__new__(cls, number)

    def __init__(self, number: int, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def typed(text: str) -> Any:
    """The value that ``text`` means. Its numbers remember how they were typed; ``.5`` and ``1.`` are numbers too.

    Raises UsageError for a number that is too large or too small.
    """
    if text == "null":
        return None
    try:  # in a list, so that a "#" is not taken for a comment
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
    """The value that ``text`` means, with plain numbers."""
    return plain(typed(text))


def from_toml(text: str) -> dict[str, Any]:
    """A TOML text as a table. Raises ValueError if it is not TOML, UsageError for a number too large or too small."""
    table: dict[str, Any] = nulls(tomllib.loads(text, parse_float=_Float))
    return table


def from_toml_file(path: str) -> dict[str, Any]:
    """The table in a TOML file, which may be a pipe. Raises as :func:`from_toml`, and OSError."""
    with open(path, "rb") as file:
        text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise UsageError(f"longer than {_LONGEST:,} bytes, which is no experiment.")
    return from_toml(text.decode("utf-8-sig"))  # some editors put a byte order mark at the beginning


def nulls(x: Any) -> Any:
    """``x`` with None in place of each ``{null = true}``."""
    if isinstance(x, Mapping):
        return None if x == _NULL else {k: nulls(v) for k, v in x.items()}
    return [nulls(v) for v in x] if isinstance(x, list) else x


def without_nulls(x: Any) -> Any:
    """``x`` with ``{null = true}`` in place of each None."""
    if isinstance(x, Mapping):
        return {k: without_nulls(v) for k, v in x.items()}
    return [without_nulls(v) for v in x] if isinstance(x, list) else dict(_NULL) if x is None else x


def plain(x: Any) -> Any:
    """``x`` with plain numbers, which do not remember how they were typed. Returns ``x`` itself if it has no others."""
    if type(x) is dict:
        table = {k: plain(v) for k, v in x.items()}
        return table if any(table[k] is not x[k] for k in x) else x
    if type(x) is list:
        items = [plain(v) for v in x]
        return items if any(a is not b for a, b in zip(items, x, strict=True)) else x
    return float(x) if isinstance(x, _Float) else int(x) if isinstance(x, _Int) else x


def as_integer(x: Any) -> Any:
    """``x`` as an int if it is a whole number, such as 1e4; else ``x`` itself."""
    if not isinstance(x, float) or not x.is_integer():
        return x
    if not isinstance(x, _Float):
        return int(x)
    if abs(x) > 1e30:  # too large for any option: its exact digits do not matter
        return _Int(int(x), x.text)
    exact = Decimal(x.text.replace("_", ""))  # the text may have more digits than a float
    return _Int(int(exact), x.text) if exact == exact.to_integral_value() else x
