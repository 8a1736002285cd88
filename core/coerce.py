"""Converts values from a command line, a file or Python to the type of an option.

The annotation decides everything: which values are accepted, what the error says, and what ``describe`` prints. If the
annotation is a class with a method ``parse`` (a step rule), this method reads the value. If it is the class of a
registered kind (a loss, a solver), the registry makes the object from its name. msgspec cannot do this: it refuses
unions of a class with other types (``Path | str``), literal floats and annotated callables, which a plugin may have.
"""

from __future__ import annotations

import operator
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from .errors import UsageError
from .options import StepSize
from .typed_values import LARGEST, plain

SETTING = float | list[float] | dict[str, float | list[float]]
"""``core.game.tree.Setting``, repeated here because that module imports torch."""

Nested = Callable[[type, Any], Any]

_WORDS: dict[Any, tuple[str, str]] = {  # in singular and plural
    float: ("a number", "numbers"),
    int: ("a whole number", "whole numbers"),
    bool: ("true or false", "true or false values"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    types.NoneType: ("null", "nulls"),
}
_BY_PLAYER: dict[Any, str] = {
    SETTING: "a number, a list of numbers (one per member) or a table {player: number}",
    StepSize: "a number of 0 or more, a list of such numbers (one per member) or a table {player: number}",
}
_BY_PLAYER |= {setting | None: f"{words}, or null" for setting, words in _BY_PLAYER.items()}
_LISTS = (list, tuple, Sequence)
_TABLES = (dict, Mapping)


class Mismatch(Exception):
    """The value does not fit the annotation. The message is a reason or ""; the caller adds the option's name."""


def shown(value: Any) -> str:
    """A value as a user would type it, cut short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value[:20]))}]"[:80]
    if isinstance(value, date | time):
        return str(value)
    return f"{value[:80]!r}" if isinstance(value, str) else f"{value!r:.80}"


def describe(annotation: Any, several: bool = False) -> str:
    """What an annotation accepts, in words; with ``several`` in the plural."""
    if annotation in _BY_PLAYER:
        return _BY_PLAYER[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation][several]
    if origin is Annotated:
        return describe(args[0], several) + "".join(f", {bound}" for _, _, bound in _bounds(args))
    if origin is Literal:
        return "one of " + ", ".join(map(_show, args))
    if _is_union(origin):
        words = list(dict.fromkeys(describe(a, several) for a in args))
        return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
    if (origin or annotation) in _LISTS:
        entries = [a for a in args if a is not Ellipsis]
        if origin is tuple and Ellipsis not in args and len(set(entries)) > 1:
            return "a list of " + ", ".join(describe(a) for a in entries)
        count = f"{len(entries)} " if origin is tuple and entries and Ellipsis not in args else ""
        return f"a list of {count}{describe(entries[0], True) if entries else 'values'}"
    if (origin or annotation) in _TABLES:
        return f"a table {{name: {describe(args[1]) if args else 'value'}}}"
    if isinstance(annotation, type):
        kind = getattr(annotation, "kind", annotation.__name__.lower())
        return f"{kind}{'es' if kind.endswith('s') else 's'}" if several else f"a {kind}"
    return "any value" if annotation is Any else str(annotation)


def coerce(value: Any, annotation: Any, nested: Nested) -> Any:
    """Return ``value`` converted to the annotated type.

    ``nested(cls, value)`` makes an object of a registered kind from a name or a table. Raises :class:`Mismatch`, with a
    reason, or with "" where a description of the type says enough.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any or isinstance(annotation, str):  # a string names a type that only a type checker can resolve
        return plain(value)
    if origin is Annotated:
        value = coerce(value, args[0], nested)
        if not all(in_range(value, bound) for in_range, bound, _ in _bounds(args)):
            raise Mismatch
        return value
    if _is_union(origin):
        return _any_of(value, args, nested)
    if isinstance(annotation, type) and annotation not in _WORDS and annotation not in (*_LISTS, *_TABLES):
        return _object(value, annotation, nested)
    if hasattr(value, "tolist"):  # numpy and torch scalars and arrays, as for a grid of step sizes
        value = value.tolist()
    if annotation in _WORDS:
        return _scalar(value, annotation)
    if origin is Literal:
        for a in args:
            if value == a and isinstance(value, type(a)) and isinstance(value, bool) is isinstance(a, bool):
                return a
        raise Mismatch
    if (origin or annotation) in _LISTS:
        return _list(value, origin or annotation, args, nested)
    if (origin or annotation) in _TABLES:
        if not isinstance(value, Mapping):
            raise Mismatch
        return {str(k): coerce(v, args[1], nested) if args else plain(v) for k, v in value.items()}
    if origin is Callable:
        if not callable(value):
            raise Mismatch
        return value
    if isinstance(origin, type) and not isinstance(value, origin):
        raise Mismatch
    return value


def _bounds(args: tuple[Any, ...]) -> list[tuple[Callable[[Any, Any], bool], Any, str]]:
    """The bounds in an annotation (attributes ge, gt, le, lt, as msgspec.Meta has): comparison, bound, and in words."""
    known = {"ge": (operator.ge, "{} or more"), "gt": (operator.gt, "more than {}"),
             "le": (operator.le, "{} or less"), "lt": (operator.lt, "less than {}")}  # fmt: skip
    bounds = [(name, getattr(note, name, None)) for note in args[1:] for name in known]
    return [(known[name][0], x, known[name][1].format(x)) for name, x in bounds if x is not None]


def _is_union(origin: Any) -> bool:
    return origin is Union or origin is types.UnionType


def _any_of(value: Any, choices: tuple[Any, ...], nested: Nested) -> Any:
    """``value`` as the first type of a union that accepts it. If none does, raises the first error with a reason."""
    reason, usage = "", None
    for choice in choices:
        try:
            return coerce(value, choice, nested)
        except Mismatch as e:
            reason = reason or str(e)
        except UsageError as e:  # an object of a kind that rejects its options says more than "wrong type"
            usage = usage or e
    if usage is not None:
        raise usage
    raise Mismatch(reason)


def _scalar(value: Any, annotation: Any) -> Any:
    """``value`` as one of the types in ``_WORDS``."""
    accepted: dict[Any, Any] = {types.NoneType: types.NoneType, bool: bool, str: str, Path: str | Path}
    if annotation in accepted:
        if not isinstance(value, accepted[annotation]):
            text = annotation is str and isinstance(value, int | float)
            raise Mismatch(f"Put it in quotes if it is meant as text: '\"{shown(value)}\"'." if text else "")
        return Path(os.path.expanduser(value)) if annotation is Path else value
    number, whole = isinstance(value, Real), isinstance(value, Integral)
    if isinstance(value, bool) or not number or value != value:  # NaN
        raise Mismatch
    try:
        if annotation is float:
            return float(value)
        if not whole and not float(value).is_integer():  # 1e4 is a whole number
            raise Mismatch
    except OverflowError:
        raise Mismatch("It is too large for a number.") from None
    if abs(value) > LARGEST:
        raise Mismatch("It is at most 2^63 - 1.")
    return int(value)


def _list(value: Any, origin: Any, args: tuple[Any, ...], nested: Nested) -> Any:
    if isinstance(value, str) and args and (_has_names(args[0]) or args[0] is str):
        value = _names(value)
    if not isinstance(value, (list, tuple)):
        raise Mismatch
    if origin is tuple and args and Ellipsis not in args:
        if len(value) != len(args):
            raise Mismatch
        return tuple(coerce(v, a, nested) for v, a in zip(value, args, strict=True))
    items = [coerce(v, args[0] if args else Any, nested) for v in value]
    return tuple(items) if origin is tuple else items


def _has_names(annotation: Any) -> bool:
    """Whether its values are objects, which are given by name."""
    return isinstance(annotation, type) and annotation not in (*_WORDS, *_LISTS, *_TABLES)


def _names(text: str) -> list[str]:
    """The names in ``fid``, ``fid,kid`` or ``[fid, kid]``, which a shell makes of ``["fid", "kid"]``."""
    within = text[1:-1] if text[:1] + text[-1:] == "[]" else text
    names = [name.strip() for name in within.split(",")]
    if not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise Mismatch("Names in a table, as in '[{name=\"...\"}]', are in quotes, which a shell leaves within others.")
    return names


def _object(value: Any, cls: type, nested: Nested) -> Any:
    """``value`` as an object of ``cls``: itself, or read by ``cls.parse``, or made by ``nested``."""
    if isinstance(value, cls):
        return value
    if not isinstance(value, (str, Mapping)):
        raise Mismatch
    if callable(parse := getattr(cls, "parse", None)):
        return parse(value)
    return nested(cls, value)


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)
