"""Tables of options: the values at paths such as ``lr.x``, nested in one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

EVERYONE = "*"  # the key in an option's table for the value of all players that are not named there


def nested(parts: Iterable[tuple[Sequence[str], Any]]) -> dict[str, Any]:
    """The table of values at paths, in any order: values for all first, then the exceptions."""
    table: dict[str, Any] = {}
    for path, value in sorted(parts, key=lambda part: len(part[0])):
        inner = table
        for name in path[:-1]:
            inner[name] = inner = as_table(inner.get(name, {}))
        inner[path[-1]] = value
    return table


def leaves(path: list[str], value: Any) -> Iterator[tuple[list[str], Any]]:
    """The entries of a table, nested ones too, each with its path."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves([*path, key], inner)
    else:
        yield path, value


def as_table(low: Any) -> dict[str, Any]:
    """A value as a table, so that options can be added to a name, or exceptions to a number that holds for everyone."""
    if isinstance(low, Mapping):
        return dict(low)
    return {"name": low} if isinstance(low, str) else {} if low is None else {EVERYONE: low}
