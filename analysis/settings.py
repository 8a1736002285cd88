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
    """The settings of each run in which the runs differ. The solver's lr.x is named ``lr.x`` if no other setting is.

    A setting that one run has as a number and another for each player is compared as a whole. One that a run lacks
    counts as different if another run of the same game, or solver, has it.
    """
    flat = [dict(settings(experiment)) for experiment in asked]
    names = {key for one in flat for key in one}
    for key in sorted(k for k in names - {"game", "solver"} if any(other.startswith(f"{k}.") for other in names)):
        flat = [_gathered(one, key, experiment) for one, experiment in zip(flat, asked, strict=True)]
    owners: dict[str, set[Any]] = {}  # the games, or solvers, that have it
    for one, experiment in zip(flat, asked, strict=True):
        for key in one:
            owners.setdefault(key, set()).add(_name(experiment, key))
    values = {
        key: {one.get(key, "") for one, of in zip(flat, asked, strict=True) if key in one or _name(of, key) in known}
        for key, known in owners.items()
    }
    short = {key: key.partition(".")[2] if key.startswith(("game.", "solver.")) else key for key in values}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    named = {key: key if short[key] in twice else short[key] for key in values if len(values[key]) > 1}
    return [{named[key]: one[key] for key in values if key in named and key in one} for one in flat]


def _gathered(one: dict[str, str], key: str, experiment: Mapping[str, Any]) -> dict[str, str]:
    """The settings with those below ``key`` as one, written as in a file."""
    if key in one or not any(other.startswith(f"{key}.") for other in one):
        return one
    value: Any = experiment
    for part in key.split("."):
        value = value[part]
    whole = {key: printable(json.dumps(value, default=str))}
    return {k: x for k, x in one.items() if not k.startswith(f"{key}.")} | whole


def _name(experiment: Mapping[str, Any], key: str) -> Any:
    """The name of the game, or solver, whose setting ``key`` is; None for a setting of the run."""
    found = experiment.get(key.partition(".")[0])
    return found.get("name") if isinstance(found, Mapping) else found if isinstance(found, str) else None


def by_seed(asked: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The numbers of the runs, those together that differ in nothing but the seed, in the order of their first."""
    groups: dict[str, list[int]] = {}
    for i, experiment in enumerate(asked):
        what = {key: x for key, x in experiment.items() if key not in ("seed", "out")}
        groups.setdefault(json.dumps(what, sort_keys=True, default=str), []).append(i)
    return list(groups.values())
