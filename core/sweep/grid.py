"""The cells of a grid: every combination of the values of its axes, each written out as an experiment.

An axis is a path into an experiment: a field (``seed``, ``steps``), a thing (``game``, ``solver``, ``loss``,
``regularizers``), or an option of one (``solver.lr``, ``solver.lr.x``, ``game.b``, ``regularizers.r1.gamma``). As on
the command line, their order does not matter: options belong to the thing that is named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UsageError, did_you_mean
from ..registry.build import Completion
from ..registry.experiment import FIELDS, Table, merged, resolve, with_regularizers
from ..registry.nested_options import nested
from ..typed_values import plain
from .cell import Cell

MOST = 1_000_000  # cells of one grid
_NOT_SWEPT = ("out", "plugins")  # a sweep has one directory, and plugins are loaded before


def grid(base: Table, axes: Mapping[str, Iterable[Any]], zipped: Sequence[Sequence[str]] = ()) -> list[Cell]:
    """The cells of all combinations of values, the last axis first; those that are equal are given once.

    base    an experiment as in a file: {"game": "quadratic", "solver": {"name": "simgd", "lr": 0.1}, "steps": 500}
    axes    the values of each axis. They win over ``base``; an axis of one value distinguishes no cell
    zipped  axes that go together, value by value, instead of being combined

    Nothing is played. Raises UsageError for a name, an option or a value that no run could have.
    """
    values = {axis: list(x) for axis, x in axes.items()}
    _require_known(values)
    groups = _groups(values, zipped)
    if (count := math.prod(len(values[group[0]]) for group in groups)) > MOST:
        raise UsageError(f"this sweep has {count:,} cells, and at most {MOST:,} are possible: give fewer values.")
    distinguishing = [axis for axis, x in values.items() if len(x) > 1]
    elsewhere = {name for x in values.get("regularizers", []) for name in _names(x)}
    completion, cells = Completion(), dict[str, Cell]()
    for chosen in itertools.product(*(range(len(values[group[0]])) for group in groups)):
        at = {axis: values[axis][n] for group, n in zip(groups, chosen, strict=True) for axis in group}
        experiment = completion(resolve(_with(base, {axis: at[axis] for axis in values}, elsewhere)))
        cell = Cell(experiment, {axis: plain(at[axis]) for axis in distinguishing})
        cells.setdefault(cell.name, cell)
    return list(cells.values())


def _require_known(values: Mapping[str, list[Any]]) -> None:
    for axis, given in values.items():
        known = [name for name in FIELDS if name not in _NOT_SWEPT]
        if (field := axis.split(".")[0]) not in known:
            raise UsageError(f"there is no axis {axis!r}{did_you_mean(field, known)} An axis is {', '.join(known)}, or "
                             "an option of the game or the solver, as solver.lr.")  # fmt: skip
        if not given:
            raise UsageError(f"the axis {axis} has no values: give one or more.")


def _groups(values: Mapping[str, list[Any]], zipped: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The axes in groups of those that go together, in their order. Raises UsageError if they do not fit."""
    together: dict[str, tuple[str, ...]] = {axis: (axis,) for axis in values}
    for given in zipped:
        group = tuple(dict.fromkeys(_axis(name, values) for name in given))
        if len(group) < 2:
            raise UsageError(f"only {', '.join(given) or 'nothing'} was to be zipped: name two axes or more.")
        lengths = {axis: len(values[axis]) for axis in group}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{axis} has {n}" for axis, n in lengths.items())
            raise UsageError(f"zipped axes have equally many values, and {counted}.")
        if taken := next((axis for axis in group if len(together[axis]) > 1), None):
            raise UsageError(f"the axis {taken} is zipped twice: name it once, with all axes that go with it.")
        together |= dict.fromkeys(group, group)
    return list(dict.fromkeys(together.values()))


def _axis(name: str, values: Mapping[str, list[Any]]) -> str:
    """The axis of that name, or of which it is the end, as ``lr`` of solver.lr. Raises UsageError."""
    found = [axis for axis in values if axis == name] or [axis for axis in values if axis.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} may be {' or '.join(found)}: write which axis is meant.")
    raise UsageError(f"there is no axis {name!r} to zip{did_you_mean(name, values)} The axes are {', '.join(values)}.")


def _with(base: Table, at: Mapping[str, Any], elsewhere: set[Any]) -> Table:
    """``base`` with a value for each axis. ``elsewhere`` are the names of the regularizers of all cells."""
    own = {axis: x for axis, x in at.items() if not axis.startswith("regularizers")}
    table: Table = merged(base, nested((axis.split("."), x) for axis, x in own.items()))
    names = at.get("regularizers", [])
    options = nested((axis.split(".")[1:], x) for axis, x in at.items() if axis.startswith("regularizers."))
    if "regularizers" in at and isinstance(names, list):  # options of one that this cell does not have do not matter
        called = _names(names)
        table["regularizers"] = names
        options = {name: x for name, x in options.items() if names and (name in called or name not in elsewhere)}
    found = with_regularizers(table, names if isinstance(names, list) else [], options)
    return table if found is None else {**table, "regularizers": found}


def _names(regularizers: Any) -> list[Any]:
    """The names in a list of regularizers."""
    items = regularizers if isinstance(regularizers, list) else []
    return [x.get("name") if isinstance(x, Mapping) else x for x in items]
