"""A group of a log as a file of another format: CSV for spreadsheets, JSON, NPZ for numpy."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core.errors import UsageError, printable
from ..core.rundir import dumps, write_atomic
from .merge import absent
from .reader import Log
from .views import columns, variables


def export(log: Log, group: str, target: Path, force: bool = False) -> Path:
    """Write ``group`` to ``target``, whose ending tells the format, whole or not at all.

    Raises UsageError for another ending, a group without rows, or a file that exists and was not given up.
    """
    write = FORMATS.get(target.suffix.lower())
    if write is None:
        raise UsageError(f"{target} can be written as none of {', '.join(FORMATS)}: name a file with such an ending.")
    absent(target, force)
    return write_atomic(target, write(log, group))


def _csv(log: Log, group: str) -> bytes:
    index, values = columns(log, group)
    cells: dict[str, np.ndarray] = {}
    for name, column in (index | values).items():
        parts = {".re": column.real, ".im": column.imag} if column.dtype.kind == "c" else {"": column}
        cells |= {name + end: part for end, part in parts.items()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(harmless, cells))
    writer.writerows(zip(*(column.tolist() for column in cells.values()), strict=True))
    return text.getvalue().encode()


def harmless(cell: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: what it begins with is what makes one."""
    cell = printable(cell)
    return f"'{cell}" if cell.lstrip()[:1] in tuple("=+-@") else cell


def _json(log: Log, group: str) -> bytes:
    found = {
        name: {"dimensions": about.dims, "units": about.units, "long_name": about.long_name, "values": log[key]}
        for name, key in variables(log, group).items()
        for about in (log.variables[key],)
    }
    return dumps(
        {"group": group, "experiment": log.experiment, "labels": _labels(log, group), "variables": found}, None
    ).encode()


def _npz(log: Log, group: str) -> bytes:
    arrays = {name: log[key] for name, key in variables(log, group).items()}
    arrays |= {dim: np.array(names) for dim, names in _labels(log, group).items() if dim not in arrays}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:  # numpy.savez has names of its own
        for name, array in arrays.items():
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()


def _labels(log: Log, group: str) -> dict[str, tuple[str, ...]]:
    dims = {dim for key in variables(log, group).values() for dim in log.variables[key].dims}
    return {dim: names for dim in sorted(dims) if (names := log.labels(dim))}


FORMATS: dict[str, Callable[[Log, str], bytes]] = {".csv": _csv, ".json": _json, ".npz": _npz}
