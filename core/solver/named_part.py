"""Parts of a solver that are chosen by name, with settings of their own: step rules and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..coerce import Mismatch, coerce, describe, shown
from ..errors import UsageError, did_you_mean
from ..options import MISSING, options_of

T = TypeVar("T")


def named_part(what: str, value: Any, base: type[T], choices: Mapping[str, type[T]], synonyms: Mapping[str, str]) -> T:
    """An object of ``base`` from its name or from a table {name, settings...}. Such an object is returned as it is.

    ``what`` is what it is called in messages, ``choices`` the classes by name; without a name, the first. ``synonyms``
    are other names of settings. Raises UsageError.
    """
    if isinstance(value, base):
        return value
    table = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = table.pop("name", next(iter(choices)))
    if not isinstance(name, str) or name not in choices:
        raise UsageError(
            f"unknown {what} {shown(name)}{did_you_mean(str(name), choices)} {_several(what)}: {', '.join(choices)}."
        )
    known = {o.name: o.annotation for o in options_of(choices[name])}
    given = {synonyms.get(key, key) if key not in known else key: x for key, x in table.items()}
    if twice := [key for key in table if key not in known and synonyms.get(key) in table]:
        raise UsageError(f"{what} {name}: {twice[0]} and {synonyms[twice[0]]} are one setting: give one of them.")
    for key, x in given.items():
        if key not in known:
            have = ", ".join(known) or "none"
            raise UsageError(f"{what} {name} has no setting {key!r}; its settings: {have}.")
        try:
            given[key] = coerce(x, known[key], _no_objects)
        except Mismatch:
            raise UsageError(f"{what} {name}: {key} must be {describe(known[key])}; got {shown(x)}.") from None
    try:
        return choices[name](**given)
    except TypeError:
        missing = [o.name for o in options_of(choices[name]) if o.name not in given and o.default is MISSING]
        raise UsageError(f"{what} {name} needs the setting {missing[0]}.") from None


def _several(what: str) -> str:
    return f"{what.rpartition(' ')[2].capitalize()}s"


def _no_objects(cls: type, value: Any) -> Any:
    """Reject settings that would be objects of a registered kind: no part has any."""
    raise Mismatch
