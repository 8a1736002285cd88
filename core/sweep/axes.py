"""The axes of a sweep from what was typed and from a file. At the top level commas separate values, as in Hydra."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import UsageError
from ..registry import experiment as config
from ..registry.experiment import assignment, value_of
from ..registry.nested_options import leaves
from ..typed_values import LARGEST, typed

Axes = dict[str, list[Any]]
_CLOSING = {"[": "]", "{": "}", "(": ")"}


def values_in(text: str) -> list[str]:
    """The texts of the values in ``0.1,0.2`` or ``[0.5,0.9],[0.9,0.99]``: commas in brackets or quotes do not count.

    Raises UsageError for an empty value.
    """
    found, open_ones, quote = [""], list[str](), ""
    for c in text:
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'" and (open_ones or not found[-1].strip()):  # elsewhere it is an apostrophe
            quote = c
        elif c in _CLOSING:
            open_ones.append(_CLOSING[c])
        elif open_ones and c == open_ones[-1]:
            open_ones.pop()
        elif c == "," and not open_ones:
            found.append("")
            continue
        found[-1] += c
    values = [value.strip() for value in found]
    if len(values) > 1 and "" in values:
        raise UsageError(f"{text[:80]!r} has a value that is empty: commas separate values.")
    return values


def typed_axes(given: Mapping[str, Any]) -> Axes:
    """The axes of all that was typed, of one value those of what is not swept."""
    axes: Axes = {}
    for field, flag, options in (("game", "-g", "g"), ("solver", "-s", "s"), ("loss", "-l", "l")):
        if given[field] is not None:
            axes[field] = [typed(text) for text in values_in(given[field])]
        axes |= _options(field, flag, given[options])
    if given["regularizer"]:
        choices = [[typed(text) for text in values_in(item)] for item in given["regularizer"]]
        axes["regularizers"] = [[x for x in chosen if x is not None] for chosen in itertools.product(*choices)]
    axes |= _options("regularizers", "-r", given["r"])
    for field in config.FIELDS:
        if (x := given.get(field)) is not None and field not in (*axes, "out", "plugins", "regularizers"):
            flag = f"--{field.replace('_', '-')} "
            axes[field] = [value_of(field, text, flag) for text in values_in(x)] if isinstance(x, str) else [x]
    if given["seeds"] is not None:
        axes.pop("seed", None)
        axes["seed"] = seeds_in(given["seeds"])
    return axes


def _options(field: str, flag: str, items: Iterable[str]) -> Axes:
    axes: Axes = {}
    for item in items:
        path, text = assignment(item, flag)
        try:
            values = [typed(value) for value in values_in(text)]
        except UsageError as error:
            raise UsageError(f"{flag} {item[:60]}: {error}") from error
        several = len(values) > 1  # a table of one value may be given in parts
        axes |= {".".join([field, *p]): [x] for p, x in leaves(path, values[0])} if not several else {
            ".".join([field, *path]): values
        }  # fmt: skip
    return axes


def seeds_in(text: str) -> list[int]:
    """The seeds in ``0:10``, ``0:10:2`` or ``1,5,7:9``; as in Python the end is left out. Raises UsageError."""
    seeds = list[int]()
    for part in values_in(text):
        match = re.fullmatch(r"(\d{1,19})(?::(\d{1,19})(?::(\d{1,19}))?)?", part)
        first, end, by = (None if x is None else int(x) for x in match.groups()) if match else (None, None, None)
        if first is None or by == 0 or max(first, end or 0) > LARGEST or (end is not None and end <= first):
            raise UsageError(
                f"--seeds {text[:60]}: expected whole numbers and ranges, as 0:10 (0 to 9), 0:10:2 or 1,5,7."
            )
        if end is not None and (end - first) // (by or 1) > 1_000_000:
            raise UsageError(f"--seeds {text[:60]}: these are more than a million seeds: give fewer.")
        seeds += [first] if end is None else range(first, end, by or 1)
    return list(dict.fromkeys(seeds))


def as_members(axes: Axes) -> None:
    """Turn seeds into the members of one ensemble: ten seeds from 5 on become seed 5 with ten members."""
    seeds = axes.get("seed", [])
    if len(seeds) < 2 or seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        raise UsageError("--as-members needs seeds that follow one another, as --seeds 0:10.")
    if "members" in axes:
        raise UsageError("--as-members makes members of the seeds: leave --members out.")
    axes |= {"seed": seeds[:1], "members": [len(seeds)]}


def file_axes(table: Any) -> tuple[Axes, list[Sequence[str]]]:
    """The axes and the zipped ones in the table [sweep] of a file. Raises UsageError."""
    if not isinstance(table, Mapping):
        raise UsageError('sweep: expected a table of axes, as [sweep] with "solver.lr" = [0.1, 0.2].')
    zipped = table.get("zip", [])
    if _are_names(zipped):
        zipped = [zipped] if zipped else []
    if not isinstance(zipped, list) or not all(map(_are_names, zipped)):
        raise UsageError('sweep.zip: expected a list of axes, as zip = ["solver", "solver.lr"], or several such lists.')
    axes: Axes = {}
    for axis, x in _flat({k: x for k, x in table.items() if k != "zip"}):
        if axis in ("seed", "seeds"):
            axes["seed"] = seeds_in(x) if isinstance(x, str) else x
        elif isinstance(x, list):
            axes[axis] = x
        if not isinstance(axes.get("seed" if axis == "seeds" else axis), list):
            raise UsageError(f"sweep.{axis}: expected a list of values, got {x!r:.60}.")
    return axes, zipped


def _are_names(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(name, str) for name in x)


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, x in table.items():
        if isinstance(x, Mapping):
            yield from _flat(x, f"{above}{key}.")
        else:
            yield f"{above}{key}", x
