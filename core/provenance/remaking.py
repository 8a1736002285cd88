"""Objects that were made by name: the table that makes such an object again, and the registered things in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ..registry import registry
from ..registry.kinds import kind_of
from ..storage.strict_json import dumps, parse


def table_of(thing: Any) -> dict[str, Any] | None:
    """The table {"name": registered name, every option} that makes ``thing`` again; None where there is none.

    The table is tried: it is written as JSON, read back, and what it makes must equal ``thing`` in every field. No
    third party is imported.
    """
    if name_of(thing) is None:
        return None
    try:
        table: dict[str, Any] = parse(dumps(registry.settings(thing)))
        with registry.REGISTRY.without_third_parties():
            again = registry.make(str(kind_of(type(thing))), table)
    except Exception:  # not made from plain data, or the factory, which may be a plugin's, refuses the table
        return None
    return table if equal_values(thing, again) else None


def name_of(thing: Any) -> str | None:
    """The name under which the class of ``thing`` is registered in this process, if any."""
    kind = kind_of(type(thing))
    known = {} if kind is None else registry.REGISTRY.built_in(kind)
    return next((name for name, found in known.items() if found.entry.factory is type(thing)), None)


def registered_in(thing: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and name of ``thing`` and of everything among its options that is registered."""
    if (name := name_of(thing)) is not None:
        yield str(kind_of(type(thing))), name
    if isinstance(thing, Mapping | list | tuple):
        for item in thing.values() if isinstance(thing, Mapping) else thing:
            yield from registered_in(item)
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for field in dataclasses.fields(thing):
            yield from registered_in(getattr(thing, field.name))


def equal_values(a: Any, b: Any) -> bool:
    """Whether two values give the same results in computations: 1 and 1.0 do, 1 and True do not."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(equal_values(x, b[k]) for k, x in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal_values, a, b))
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        return all(equal_values(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)) and type(a) is not type(b):
        return False
    try:
        return a is b or bool(a == b)
    except (TypeError, ValueError, RuntimeError):  # an array has no truth value, and other types may raise too
        return False
