"""A log's groups as xarray Datasets and pandas DataFrames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...core.errors import UsageError, did_you_mean
from ...core.log.schema import AXES
from ..optional import need

if TYPE_CHECKING:
    import pandas
    import xarray
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...core.log.schema import Variable


class Rows(Protocol):
    """The part of a `Log` that is needed here."""

    @property
    def path(self) -> Path:
        """The run directory or the file."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The facts that stand at the head of the file."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Key, "group/name" -> dtype, axes, unit and description."""

    @property
    def groups(self) -> Sequence[str]:
        """The groups that hold rows."""

    @property
    def members(self) -> int | None:
        """How many members the run has; None for a single run."""

    def __iter__(self) -> Iterator[str]: ...

    def __getitem__(self, key: str) -> np.ndarray: ...

    def labels(self, dim: str) -> Sequence[str]:
        """The names along an axis; none where its places are only counted."""

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a variable, rows first."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows ``start`` to ``stop`` of a variable."""


def variables(log: Rows, group: str) -> dict[str, str]:
    """Return name -> key of a group's variables."""
    if group not in log.groups:
        have = ", ".join(log.groups) or "no rows yet"
        raise UsageError(f"{log.path} has no group {group!r}{did_you_mean(group, log.groups)} It has {have}.")
    return {key.partition("/")[2]: key for key in log if key.startswith(f"{group}/")}


def coordinate(log: Rows, dim: str, size: int) -> np.ndarray:
    """Return the coordinate (size,) of an axis: its names if it has any, else 0, 1, 2, and so on."""
    names = log.labels(dim)
    return np.array(names) if names else np.arange(size)


def dataset(log: Rows, group: str) -> xarray.Dataset:
    """Return a group as a Dataset. The numbers of a variable are read when they are first used."""
    xarray = need("xarray", "log.dataset()")
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, key in variables(log, group).items():
        about = log.variables[key]
        attrs: dict[str, Any] = {"long_name": about.long_name, "units": about.units, **about.attrs}
        if about.flags:
            attrs["flag_values"] = np.arange(len(about.flags), dtype=about.dtype)
            attrs["flag_meanings"] = " ".join(about.flags)
        variable = xarray.Variable(about.dims, _lazy(log, key), attrs)
        (coords if name == "step" else data)[name] = variable
        for dim, size in zip(about.dims, log.shape(key), strict=True):
            if dim not in coords and dim != "step":
                coords[dim] = xarray.Variable((dim,), coordinate(log, dim, size), {"long_name": AXES.get(dim, dim)})
    return xarray.Dataset(data, coords, {k: v for k, v in log.attrs.items() if not k.startswith("format")})


def _lazy(log: Rows, key: str) -> Any:
    """Wrap a variable for xarray so that indexing rows reads only those rows."""
    backends, indexing = need("xarray.backends", "log.dataset()"), need("xarray.core.indexing", "log.dataset()")

    class Lazy(backends.BackendArray):  # type: ignore[name-defined]
        shape = log.shape(key)
        dtype = np.dtype(log.variables[key].dtype)

        def __getitem__(self, index: Any) -> Any:
            return indexing.explicit_indexing_adapter(index, self.shape, indexing.IndexingSupport.BASIC, self._rows)

        def _rows(self, index: tuple[Any, ...]) -> Any:
            first, *rest = index
            if isinstance(first, slice) and first.step in (None, 1):
                return log.read(key, first.start or 0, first.stop)[(slice(None), *rest)]
            if isinstance(first, (int, np.integer)):
                return log.read(key, int(first), int(first) + 1 or None)[(0, *rest)]
            return log[key][index]

    return indexing.LazilyIndexedArray(Lazy())


def frame(log: Rows, group: str) -> pandas.DataFrame:
    """Return a group as a DataFrame with the columns of `columns`, indexed by step, and by member in ensembles."""
    pandas = need("pandas", "log.frame()")
    index, values = columns(log, group)
    made = pandas.DataFrame(values, index=pandas.RangeIndex(len(index["step"])))
    return made.set_index([pandas.Index(column, name=name) for name, column in index.items()])


def columns(
    log: Rows, group: str, start: int = 0, stop: int | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return rows of a group as columns of one length: (index, values).

    The index has the step and, in ensembles, the member. A variable with a number for each player has a column for each
    player, ``losses[x]``. Variables with more than two further axes, and samples, are left out: see `dataset`.
    """
    members = log.members
    steps = log.read(f"{group}/step", start, stop)
    index = {"step": steps}
    if members is not None:
        index = {"step": np.repeat(steps, members), "member": np.tile(np.arange(members), len(steps))}
    found: dict[str, np.ndarray] = {}
    for name, (key, within) in _tabular(log, group).items():
        values = log.read(key, start, stop)
        if members is not None:
            if "member" not in log.variables[key].dims:  # the same for all members
                values = np.repeat(values[:, None], members, axis=1)
            values = values.reshape(len(steps) * members, *(n for _, n in within))
        along = [coordinate(log, d, n) for d, n in within]
        for at in np.ndindex(*(n for _, n in within)):
            label = ",".join(str(axis[i]) for axis, i in zip(along, at, strict=True))
            found[f"{name}[{label}]" if within else name] = values[(slice(None), *at)]
    return index, found


def width(log: Rows, group: str) -> int:
    """Return the number of columns that the values of `columns` have."""
    return sum(math.prod(n for _, n in within) for _, within in _tabular(log, group).values())


def _tabular(log: Rows, group: str) -> dict[str, tuple[str, list[tuple[str, int]]]]:
    """The variables that a table can hold: name -> (key, the axes within a row of the table with their sizes)."""
    found: dict[str, tuple[str, list[tuple[str, int]]]] = {}
    for name, key in variables(log, group).items():
        sizes = zip(log.variables[key].dims[1:], log.shape(key)[1:], strict=True)
        within = [(d, n) for d, n in sizes if d != "member"]
        if name != "step" and len(within) <= 2 and group != "samples":
            found[name] = (key, within)
    return found
