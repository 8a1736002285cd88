"""One HDF5 file of a log: rows to bytes and back.

A file is built in memory and read only after `safety` has walked it. HDF5 itself never writes to the disk: a crash or
a full disk there loses rows or kills the process; bytes written by `atomic.write_atomic` do neither.
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
from ..storage.checksum import check_seal, stamp, sum_of
from ..storage.safe_open import open_plain
from .consistency import Contents, agree, row_bytes
from .safety import SCALES, check_open, reason, strings, text
from .schema import AXES, FORMAT, GROUPS, VERSION, Variable

_CHUNK_BYTES = 256 << 10
_COMPLEX = "_PFNC_DOUBLE_COMPLEX_TYPE"  # netCDF reads complex numbers only by a committed type, of this name by custom
_FILTERS = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
_walked: set[tuple[int, ...]] = set()  # files that passed validation, and have not been written since


class Rows(Protocol):
    """One group's rows: each variable has the axes ``variables[name].dims``, the growing one first.

    ``parts`` are runs of them, one after another, every variable in each: there may be more than the memory holds.
    """

    @property
    def variables(self) -> Mapping[str, Variable]: ...
    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...
    def parts(self) -> Iterable[Mapping[str, np.ndarray]]: ...


@dataclass
class Table:
    """Rows in memory, which are one part."""

    variables: dict[str, Variable] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: column.shape for name, column in self.columns.items()}

    def parts(self) -> Iterable[Mapping[str, np.ndarray]]:
        return [self.columns]


def fill(dtype: np.dtype) -> Any:
    """Return what stands where nothing was recorded: NaN, or −1 where the type has none (we count from 0)."""
    if dtype.kind == "c":
        return complex(np.nan, np.nan)
    return np.nan if dtype.kind == "f" else -1 if dtype.kind == "i" else 0


def pad(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return ``array`` grown to ``shape`` at the end of each axis."""
    if array.shape == tuple(shape):
        return array
    grown = np.full(shape, fill(array.dtype), dtype=array.dtype)
    grown[tuple(slice(n) for n in array.shape)] = array
    return grown


def encode(tables: Mapping[str, Rows], labels: Mapping[str, Sequence[str]], attrs: Mapping[str, Any]) -> bytes:
    """Return a complete HDF5 file holding ``tables``, and the sum of its bytes after them."""
    buffer = io.BytesIO()
    # Files newer than v110 cannot be opened by h5dump 1.10 and ncdump 4.9.
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs.update({"format": FORMAT, "format_version": VERSION, **attrs})
        file[_COMPLEX] = np.dtype("<c16")
        for name, table in tables.items():
            if table.variables:
                _write_group(file, name, table, labels)
    with buffer.getbuffer() as data:  # no copy: it may be most of the memory
        line = sum_of(data)
    buffer.seek(0, io.SEEK_END)
    buffer.write(line)
    return buffer.getvalue()


def _write_group(file: h5py.File, name: str, table: Rows, labels: Mapping[str, Sequence[str]]) -> None:
    group = file.create_group(name)
    scales: dict[str, h5py.Dataset] = {}
    made: dict[str, h5py.Dataset] = {}  # to look one up in the file takes as long as to write to it
    shapes = table.shapes
    for key, variable in table.variables.items():
        shape = shapes[key]
        chunk = max(1, min(shape[0], _CHUNK_BYTES // max(1, row_bytes(variable, shape))))
        dtype = file[_COMPLEX] if np.dtype(variable.dtype).kind == "c" else variable.dtype
        filters: dict[str, Any] = dict(_FILTERS, chunks=(chunk, *shape[1:])) if math.prod(shape) else {}
        data = made[key] = group.create_dataset(key, shape=shape, dtype=dtype, **filters)
        _describe(data, variable)
        if key == variable.dims[0]:  # /step/step is its axis's own coordinate
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
    """Write the coordinate of an axis: its names, else 0, 1, 2, …"""
    if names is None:
        scale = group.create_dataset(dim, data=np.arange(size, dtype="<i8"))
    else:  # of variable length: ncdump and xarray both misread strings of fixed length
        scale = group.create_dataset(dim, data=list(names), dtype=h5py.string_dtype())
    _describe(scale, Variable(dim, (dim,), scale.dtype.str, AXES.get(dim, dim.replace("_", " "))))
    scale.make_scale(dim)
    return scale


def _describe(data: h5py.Dataset, variable: Variable) -> None:
    data.attrs["long_name"] = variable.long_name
    if variable.dtype != "|O":
        data.attrs["units"] = variable.units
    data.attrs["dimensions"] = " ".join(variable.dims)  # for readers that follow no references, as ours
    if variable.flags:
        data.attrs["flag_values"] = np.arange(len(variable.flags), dtype=variable.dtype)
        data.attrs["flag_meanings"] = " ".join(variable.flags)


@contextmanager
def opened(path: Path | str, given: BinaryIO | None = None) -> Iterator[h5py.File]:
    """Open a file, or the one ``given``, whose sum is right and which has passed validation.

    Whatever goes wrong while reading raises BadLog naming it. FileNotFoundError passes: a block that has just been
    merged is not damage.
    """
    try:
        # Through a Python file HDF5 takes no lock, and does not mind that xarray has the same file open.
        with nullcontext(given) if given is not None else open_plain(path) as raw:
            check_seal(raw, path)
            with h5py.File(raw, "r") as file:
                if (key := stamp(raw)) not in _walked:
                    check_open(file, path)
                    if key is not None:
                        _walked.add(key)
                yield file
    except (FileNotFoundError, UserError):
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BadLog(f"{path} is damaged or not a log: {reason(error)}.") from error


def contents(path: Path | str, given: BinaryIO | None = None) -> Contents:
    """Return what the file at ``path`` holds without reading its numbers."""
    with opened(path, given) as file:
        attrs = {text(k): _plain(file.attrs[k]) for k in file.attrs if k.encode() not in SCALES}
        version = attrs.get("format_version")
        if attrs.get("format") != FORMAT or not isinstance(version, int):
            raise BadLog(f"{path} is an HDF5 file but not a log of counterplay.")
        if version > VERSION:
            raise BadLog(
                f"{path} has log format {version}; this counterplay reads up to {VERSION}: update it to read the file."
            )
        found = Contents({}, {}, {}, attrs)
        for group in GROUPS:
            if group not in file:
                continue
            if not isinstance(file[group], h5py.Group):
                raise BadLog(f"{path} is damaged: /{group} is not a group.")
            for name, data in file[group].items():
                _add(found, path, group, name, data)
        agree(found, path)
    return found


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (str, bytes, int, float)):
        raise TypeError("it has an attribute that is no text and no number")
    return text(value) if isinstance(value, (str, bytes)) else value


def _add(found: Contents, path: Path | str, group: str, name: str, data: Any) -> None:
    if not isinstance(data, h5py.Dataset):
        raise BadLog(f"{path} is damaged: /{group}/{name} is not a variable.")
    dims = tuple(_said(data, "dimensions", "").split())
    if len(dims) != data.ndim or not dims:
        raise BadLog(f"{path} is damaged: /{group}/{name} has {data.ndim} axes but names {len(dims)}.")
    if dims == (name,) and name != "step":  # an axis's coordinate; only /step/step is data, the others follow from it
        if h5py.check_string_dtype(data.dtype):
            names = strings(data)
            if found.labels.setdefault(name, names) != names:
                raise BadLog(f"{path} is damaged: its groups disagree on the names along {name!r}.")
        return
    if dims[0] != group or h5py.check_string_dtype(data.dtype):
        raise BadLog(f"{path} is damaged: /{group}/{name} does not grow along {group!r}.")
    if data.shape[0] != file_length(data.parent):
        raise BadLog(f"{path} is damaged: /{group}/{name} has not as many rows as /{group}/step.")
    flags = tuple(_said(data, "flag_meanings", "").split())
    about = _said(data, "long_name", name), _said(data, "units", "1")
    try:
        found.variables[f"{group}/{name}"] = Variable(name, dims, data.dtype.str, *about, flags)
    except UserError as error:
        raise BadLog(f"{path} is damaged: {error}") from error
    found.shapes[f"{group}/{name}"] = data.shape


def _said(data: h5py.Dataset, name: str, default: str) -> str:
    return text(str(data.attrs.get(name, default)))


def file_length(group: h5py.Group) -> int:
    """Return the number of rows of a group of an open file; KeyError, so BadLog from `opened`, without steps."""
    steps = group.get("step")
    if not isinstance(steps, h5py.Dataset) or steps.ndim != 1:
        raise KeyError(f"{group.name}/step is missing")
    return int(steps.shape[0])


def read(path: Path | str, key: str, start: int, stop: int, given: BinaryIO | None = None) -> np.ndarray:
    """Return rows ``start`` to ``stop`` of the variable ``key`` ("group/name")."""
    with opened(path, given) as file:
        return np.asarray(file[key][start:stop])


def read_rows(path: Path | str, keys: Iterable[str], start: int, stop: int) -> dict[str, np.ndarray]:
    """Return rows ``start`` to ``stop`` of several variables: the file is opened and walked once."""
    with opened(path) as file:
        return {key: np.asarray(file[key][start:stop]) for key in keys}
