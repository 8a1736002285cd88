"""One HDF5 file of a log: rows to bytes, and bytes to rows.

A file is built in memory, and it is read only after `safety` has checked it. HDF5 itself never writes to the disk: it
would lose rows in a crash, and kill the process when the disk is full. `atomic.write_atomic` writes the bytes instead.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import h5py
import numpy as np

from ..errors import BadLog, UserError
from ..storage.checksum import check, checksum_line, stamp
from ..storage.safe_open import open_plain
from .safety import SCALES, check_open, one_line_message, strings, text
from .schema import AXES, FORMAT, GROUPS, VERSION, Variable
from .schema_check import Contents, check_schema, row_bytes

_CHUNK_BYTES = 256 << 10
_COMPLEX = "_PFNC_DOUBLE_COMPLEX_TYPE"  # netCDF reads complex numbers only through a committed type of this name
_FILTERS = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
_KNOWN = {"long_name", "units", "dimensions", "coordinates", "flag_values", "flag_meanings", "CLASS", "NAME"}
_KNOWN |= {name.decode() for name in SCALES}
_validated: set[tuple[int, ...]] = set()  # stamps of files that passed `safety`: a file that was written has another


class Rows(Protocol):
    """The rows of one group. A variable has the axes ``variables[name].dims``; the first one counts the rows.

    ``parts`` yields the rows in consecutive parts, with every variable in each: all at once may not fit into memory.
    """

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Name -> dtype, axes, unit and description."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape over all rows."""

    def parts(self) -> Iterable[Mapping[str, np.ndarray]]:
        """Yield consecutive parts of the rows, each as name -> array."""


@dataclass
class Table:
    """Rows in memory, in one part."""

    variables: dict[str, Variable] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape over all rows."""
        return {name: column.shape for name, column in self.columns.items()}

    def parts(self) -> Iterable[Mapping[str, np.ndarray]]:
        """All rows in one part."""
        return [self.columns]


def fill(dtype: np.dtype) -> Any:
    """Return the value for entries that were not recorded: NaN, or −1 for whole numbers, which count from 0."""
    if dtype.kind == "c":
        return complex(np.nan, np.nan)
    return np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else 0


def pad(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return ``array`` extended to ``shape`` at the end of each axis, with the value of `fill`."""
    if array.shape == tuple(shape):
        return array
    grown = np.full(shape, fill(array.dtype), dtype=array.dtype)
    grown[tuple(slice(n) for n in array.shape)] = array
    return grown


def encode(tables: Mapping[str, Rows], labels: Mapping[str, Sequence[str]], attrs: Mapping[str, Any]) -> bytes:
    """Return the bytes of an HDF5 file with ``tables`` by group, followed by their checksum."""
    buffer = io.BytesIO()
    # Files newer than v110 cannot be opened by h5dump 1.10 and ncdump 4.9.
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update({"format": FORMAT, "format_version": VERSION, **attrs})
        file[_COMPLEX] = np.dtype("<c16")
        for name, table in tables.items():
            if table.variables:
                _write_group(file, name, table, labels)
    with buffer.getbuffer() as data:  # without a copy, as it may take most of the memory
        line = checksum_line(data)
    buffer.seek(0, io.SEEK_END)
    buffer.write(line)
    return buffer.getvalue()


def _write_group(file: h5py.File, name: str, table: Rows, labels: Mapping[str, Sequence[str]]) -> None:
    group = file.create_group(name)
    scales: dict[str, h5py.Dataset] = {}
    made: dict[str, h5py.Dataset] = {}  # to look up a dataset in the file would take as long as to write to it
    shapes = table.shapes
    for key, variable in table.variables.items():
        shape = shapes[key]
        chunk = max(1, min(shape[0], _CHUNK_BYTES // max(1, row_bytes(variable, shape))))
        dtype = file[_COMPLEX] if np.dtype(variable.dtype).kind == "c" else variable.dtype
        filters: dict[str, Any] = dict(_FILTERS, chunks=(chunk, *shape[1:])) if math.prod(shape) else {}
        data = made[key] = group.create_dataset(key, shape=shape, dtype=dtype, **filters)
        _describe(data, variable)
        if key == variable.dims[0]:  # /step/step is itself the coordinate of its axis
            data.make_scale(key)
            scales[key] = data
        elif key != "step" and "step" not in variable.dims:
            data.attrs["coordinates"] = "step"  # so that xarray shows the step beside each row
    for key, variable in table.variables.items():
        for axis, dim in enumerate(variable.dims):
            if dim not in scales:
                scales[dim] = _scale(group, dim, shapes[key][axis], labels.get(dim))
            if made[key] is not scales[dim]:
                made[key].dims[axis].attach_scale(scales[dim])
    at = 0
    for part in table.parts():
        for key, column in part.items():
            made[key][at : at + len(column)] = column
        at += len(part["step"])


def _scale(group: h5py.Group, dim: str, size: int, names: Sequence[str] | None) -> h5py.Dataset:
    """Write the coordinate of an axis: its names if it has any, else 0, 1, 2, and so on."""
    if names is None:
        scale = group.create_dataset(dim, data=np.arange(size, dtype="<i8"))
    else:  # strings of variable length, as ncdump and xarray misread those of fixed length
        scale = group.create_dataset(dim, data=list(names), dtype=h5py.string_dtype())
    _describe(scale, Variable(dim, (dim,), scale.dtype.str, AXES.get(dim, dim.replace("_", " "))))
    scale.make_scale(dim)
    return scale


def _describe(data: h5py.Dataset, variable: Variable) -> None:
    data.attrs["long_name"] = variable.long_name
    if variable.dtype != "|O":
        data.attrs["units"] = variable.units
    for name, value in variable.attrs.items():
        data.attrs[name] = value
    data.attrs["dimensions"] = " ".join(variable.dims)  # for readers that follow no references, such as ours
    if variable.flags:
        data.attrs["flag_values"] = np.arange(len(variable.flags), dtype=variable.dtype)
        data.attrs["flag_meanings"] = " ".join(variable.flags)


@contextmanager
def opened(path: Path | str, given: BinaryIO | None = None, walk: bool = True) -> Iterator[h5py.File]:
    """Open the file at ``path``, or read the open file ``given``, after its checksum and structure were checked.

    Without ``walk`` the structure is not: the caller checks what it reads of it (`safety.check_open`).
    Anything that goes wrong while it is read raises BadLog with the path. Only FileNotFoundError passes through, as a
    block that has just been merged is no damage.
    """
    try:
        # Through a Python file HDF5 takes no lock, so xarray may have the same file open.
        with nullcontext(given) if given is not None else open_plain(path) as raw:
            check(raw, path)
            with h5py.File(raw, "r") as file:
                if walk and (key := stamp(raw)) not in _validated:
                    check_open(file, path)
                    if key is not None:
                        _validated.add(key)
                yield file
    except (FileNotFoundError, UserError):
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BadLog(f"{path} is damaged or not a log: {one_line_message(error)}.") from error


def contents(path: Path | str, given: BinaryIO | None = None) -> Contents:
    """Return what the file at ``path`` holds, without reading its numbers."""
    with opened(path, given) as file:
        found = Contents({}, {}, {}, attributes_checked(file, path))
        for group in GROUPS:
            if group not in file:
                continue
            if not isinstance(file[group], h5py.Group):
                raise BadLog(f"{path} is damaged: /{group} is not a group.")
            for name, data in file[group].items():
                _add(found, path, group, name, data)
        check_schema(found, path)
    return found


def attributes_checked(file: h5py.File, path: Path | str, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The attributes of an open file, all or those of ``names``. Raises BadLog unless this version reads such logs."""
    wanted = file.attrs if names is None else [k for k in names if k in file.attrs]
    attrs = {text(k): _text_or_number(file.attrs[k]) for k in wanted if k.encode() not in SCALES}
    version = attrs.get("format_version")
    if attrs.get("format") != FORMAT or not isinstance(version, int):
        raise BadLog(f"{path} is an HDF5 file but not a log of counterplay.")
    if version > VERSION:
        raise BadLog(
            f"{path} has log format {version}; this counterplay reads up to {VERSION}: update it to read the file."
        )
    return attrs


def _text_or_number(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (str, bytes, int, float)):
        raise TypeError("it has an attribute that is no text and no number")
    return text(value) if isinstance(value, (str, bytes)) else value


def _add(found: Contents, path: Path | str, group: str, name: str, data: Any) -> None:
    if not isinstance(data, h5py.Dataset):
        raise BadLog(f"{path} is damaged: /{group}/{name} is not a variable.")
    dims = tuple(_attribute(data, "dimensions", "").split())
    if len(dims) != data.ndim or not dims:
        raise BadLog(f"{path} is damaged: /{group}/{name} has {data.ndim} axes but names {len(dims)}.")
    if dims == (name,) and name != "step":  # the coordinate of an axis, which is no variable (/step/step is one)
        if h5py.check_string_dtype(data.dtype):
            names = strings(data)
            if found.labels.setdefault(name, names) != names:
                raise BadLog(f"{path} is damaged: its groups disagree on the names along {name!r}.")
        return
    if dims[0] != group or h5py.check_string_dtype(data.dtype):
        raise BadLog(f"{path} is damaged: /{group}/{name} does not grow along {group!r}.")
    if data.shape[0] != file_length(data.parent):
        raise BadLog(f"{path} is damaged: /{group}/{name} has not as many rows as /{group}/step.")
    flags = tuple(_attribute(data, "flag_meanings", "").split())
    about = _attribute(data, "long_name", name), _attribute(data, "units", "1")
    more = {text(k): _text_or_number(data.attrs[k]) for k in data.attrs if group == "metrics" and text(k) not in _KNOWN}
    try:
        found.variables[f"{group}/{name}"] = Variable(name, dims, data.dtype.str, *about, flags, more)
    except UserError as error:
        raise BadLog(f"{path} is damaged: {error}") from error
    found.shapes[f"{group}/{name}"] = data.shape


def _attribute(data: h5py.Dataset, name: str, default: str) -> str:
    return text(str(data.attrs.get(name, default)))


def file_length(group: h5py.Group) -> int:
    """Return the number of rows of a group of an open file. Raises KeyError, which `opened` turns into BadLog."""
    steps = group.get("step")
    if not isinstance(steps, h5py.Dataset) or steps.ndim != 1:
        raise KeyError(f"{group.name}/step is missing")
    return int(steps.shape[0])


def read(path: Path | str, key: str, start: int, stop: int, given: BinaryIO | None = None) -> np.ndarray:
    """Return rows ``start`` to ``stop`` of the variable ``key`` ("group/name")."""
    with opened(path, given) as file:
        return np.asarray(file[key][start:stop])


def read_rows(path: Path | str, keys: Iterable[str], start: int, stop: int) -> dict[str, np.ndarray]:
    """Return rows ``start`` to ``stop`` of several variables; the file is opened and checked once."""
    with opened(path) as file:
        return {key: np.asarray(file[key][start:stop]) for key in keys}
