"""What a file of a log holds, and checks that it agrees with the format, so that readers of numbers need none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadLog, UsageError
from .schema import COUNTS, GROUPS, MAX_VARIABLES, Variable

MAX_MEMBERS = 100_000  # the measures of a run take time for each member
MAX_ROW = 512 << 20  # bytes of a row of all variables of a group, which is read at once
_TYPES = {variable.dtype for group in GROUPS.values() for variable in group.values()}
_FILLED = ("member", "player", "parameter", "direction", "image", "channel", "height", "width", "point", "coordinate")


@dataclass(frozen=True)
class Contents:
    """What a file holds apart from numbers: variables and shapes by "group/name", names along axes, attributes."""

    variables: dict[str, Variable]
    shapes: dict[str, tuple[int, ...]]
    labels: dict[str, tuple[str, ...]]
    attrs: dict[str, Any]

    def length(self, group: str) -> int:
        """Return the number of rows of ``group``."""
        return self.shapes.get(f"{group}/step", (0,))[0]

    def row_bytes(self, key: str) -> int:
        """Return the bytes of one row of a variable."""
        return row_bytes(self.variables[key], self.shapes[key])


def row_bytes(variable: Variable, shape: tuple[int, ...]) -> int:
    """Return the bytes of one row of a variable of ``shape``, whose first axis counts the rows."""
    return math.prod(shape[1:]) * np.dtype(variable.dtype).itemsize


def row_ranges(rows: int, size: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of ranges that cover ``rows`` rows of ``size`` bytes.

    A range has at most ``limit`` bytes, but at least one row.
    """
    count = max(1, limit // max(1, size))
    return ((start, min(rows, start + count)) for start in range(0, rows, count))


def check_schema(found: Contents, path: Path | str) -> None:
    """Raise BadLog unless the variables of the schema have its types and axes, and every axis has one size."""
    sizes = {dim: len(names) for dim, names in found.labels.items()}
    known = {key: GROUPS[key.partition("/")[0]].get(variable.name) for key, variable in found.variables.items()}
    ensemble = any("member" in v.dims for v in found.variables.values())
    for group in GROUPS:
        size = sum(found.row_bytes(key) for key in found.variables if key.startswith(f"{group}/"))
        if size > MAX_ROW:
            raise BadLog(f"{path} was refused: a row of /{group} claims {size:,} bytes, more than {MAX_ROW:,}.")
    for key, variable in found.variables.items():
        group = key.partition("/")[0]
        if variable.dtype not in _TYPES or (group == "metrics" and np.dtype(variable.dtype).kind == "c"):
            raise BadLog(f"{path} is damaged: /{key} holds {variable.dtype}, which is no number of a log.")
        if (wanted := known[key]) is not None:
            own = wanted if ensemble else replace(wanted, dims=tuple(d for d in wanted.dims if d != "member"))
            if (variable.dims, variable.dtype) != (own.dims, own.dtype):
                has = " × ".join(variable.dims)
                raise BadLog(f"{path} is damaged: /{key} is {variable.dtype} along {has}, which no log has.")
        for dim, size in zip(variable.dims[1:], found.shapes[key][1:], strict=True):
            if known[key] is None and (dim in (group, "step") or f"{group}/{dim}" in found.variables):
                raise BadLog(f"{path} is damaged: the axis {dim!r} of /{key} is called as another variable.")
            nothing = dim == "parameter" and found.labels.get(dim) == ()  # a game that has no parameters
            if size == 0 and (dim in _FILLED or known[key] is None) and not nothing:
                raise BadLog(f"{path} is damaged: the axis {dim!r} of /{key} is empty.")
            if dim == "member" and size > MAX_MEMBERS:
                raise BadLog(f"{path} was refused: it claims {size:,} members, more than {MAX_MEMBERS:,}.")
            if dim == "player" and dim not in found.labels:
                raise BadLog(f"{path} is damaged: it does not name its players.")
            if (dim in found.labels or dim == "member") and sizes.setdefault(dim, size) != size:
                raise BadLog(f"{path} is damaged: the axis {dim!r} of /{key} has {size} entries, not {sizes[dim]}.")


def check_new_variable(held: Mapping[str, Mapping[str, Variable]], group: str, new: Variable, size: int) -> None:
    """Raise UsageError if no reader would accept a log with the variables ``held`` and ``new``, of ``size`` numbers."""
    own = {**held[group], new.name: new}
    names = [{*found, *(dim for v in found.values() for dim in v.dims)} for found in {**held, group: own}.values()]
    if sum(map(len, names)) > MAX_VARIABLES - len(COUNTS):  # the writer may add the variables in COUNTS
        raise UsageError(
            f"With {new.name!r} the log has more than the {MAX_VARIABLES} variables and axes that a log can have: "
            "give metrics that belong together as one with an axis."
        )
    strange = [v for name, v in own.items() if name not in GROUPS[group]]
    for variable in strange:
        for dim in variable.dims[1:]:
            if dim in own or dim in (group, "step"):
                raise UsageError(f"The axis {dim!r} of {variable.name!r} has the name of a variable: rename it.")
    if new in strange and not size:
        raise UsageError(f"Variable {new.name!r} of the log got no number; leave it out where there is none.")


def check_one_log(pieces: list[tuple[Path, Contents]]) -> None:
    """Raise BadLog where the files of a log disagree on names, axes or types."""
    labels: dict[str, tuple[str, ...]] = {}
    variables: dict[str, Variable] = {}
    sizes: dict[str, int] = {}
    for path, found in pieces:
        for dim, names in found.labels.items():
            if labels.setdefault(dim, names) != names:
                raise BadLog(f"{path} has other names along {dim!r} than the files before it: they are not one log.")
        for key, variable in found.variables.items():
            first = variables.setdefault(key, variable)
            same = (first.dims, first.dtype) == (variable.dims, variable.dtype)
            members = [n for dim, n in zip(variable.dims, found.shapes[key], strict=True) if dim == "member"]
            if not same or any(sizes.setdefault("member", n) != n for n in members):
                raise BadLog(f"{path} has other axes of {key!r} than the files before it: they are not one log.")
