"""The settings of several experiments: in which of them they differ, and which runs are seeds of one experiment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import printable

_NOT_ASKED = ("name", "out", "origins", "references", "plugins", "steps")


def settings(experiment: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of each setting that was asked for, without the names of game and solver."""
    for key, x in experiment.items():
        if not prefix and key in _NOT_ASKED:
            continue
        if isinstance(x, Mapping):
            yield from settings(x, f"{prefix}{key}.")
        elif key != "name" or prefix.count(".") > 1:  # the names of game and solver are facts already
            yield printable(f"{prefix}{key}"), printable(x if isinstance(x, str) else json.dumps(x, default=str))


def differing(asked: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The settings of each run in which the runs differ. The solver's lr.x is named ``lr.x`` if no other setting is."""
    flat = [dict(settings(experiment)) for experiment in asked]
    values: dict[str, set[str]] = {}
    for key, text in (item for one in flat for item in one.items()):
        values.setdefault(key, set()).add(text)
    short = {key: key.partition(".")[2] if key.startswith(("game.", "solver.")) else key for key in values}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    named = {key: key if short[key] in twice else short[key] for key, found in values.items() if len(found) > 1}
    return [{named[key]: text for key, text in one.items() if key in named} for one in flat]


def by_seed(asked: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The numbers of the runs, those together that differ in nothing but the seed, in the order of their first."""
    groups: dict[str, list[int]] = {}
    for i, experiment in enumerate(asked):
        what = {key: x for key, x in experiment.items() if key not in ("seed", "out")}
        groups.setdefault(json.dumps(what, sort_keys=True, default=str), []).append(i)
    return list(groups.values())
