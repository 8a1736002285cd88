"""Export a group of a log to another format: CSV for spreadsheets, JSON, NPZ for numpy.

Beside a metric stands what measured it, its extractor and the number of samples, without which it means nothing.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UsageError, printable
from ...core.log.sandbox import MOST
from ...core.log.schema_check import row_bytes, row_ranges
from ...core.storage.atomic import write_atomic
from ...core.storage.strict_json import dumps
from .log import Log
from .merge import absent
from .tables import columns, variables, width

_PART = 16 << 20  # bytes of numbers in memory at once; as Python objects and text they take ten times as much
_LINES = 1000  # of a CSV file, written at once
MAX_COLUMNS = 100_000  # of a CSV file; spreadsheets have less than a fifth of it


def export(log: Log, group: str, target: Path, force: bool = False) -> Path:
    """Write ``group`` to ``target``, whose ending says the format, completely or not at all.

    Raises UsageError for another ending, for a group without rows or too large for the format, and for a file that
    exists unless ``force`` is given.
    """
    write = FORMATS.get(target.suffix.lower())
    if write is None:
        raise UsageError(f"{target} has none of the endings {', '.join(FORMATS)}: name a file with one of them.")
    absent(target, force)
    variables(log, group)  # raises UsageError where there are none
    return write_atomic(target, write(log, group))


def _csv(log: Log, group: str) -> Iterator[bytes]:
    across = width(log, group)
    if across > MAX_COLUMNS:
        raise UsageError(f"{log.path} has {across:,} columns of {group}, and a table {MAX_COLUMNS:,}: choose .npz.")
    facts = _facts(log, group, harmless)
    each = 16 * (across + 2 + sum(map(len, facts.values()))) * (log.members or 1)
    for start, stop in row_ranges(log.length(group), each, _PART):
        index, values = columns(log, group, start, stop)
        cells: dict[str, np.ndarray] = {}
        for name, column in (index | values).items():
            halves = {".re": column.real, ".im": column.imag} if column.dtype.kind == "c" else {"": column}
            cells |= {name + end: half for end, half in halves.items()}
            cells |= {fact: np.full(len(column), x) for fact, x in facts.get(name.partition("[")[0], {}).items()}
        if start == 0:
            yield _lines([list(map(harmless, cells))])
        for low in range(0, len(index["step"]), _LINES):
            some = [column[low : low + _LINES].tolist() for column in cells.values()]
            yield _lines(zip(*some, strict=True))


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def harmless(cell: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula, which it would by the first character."""
    cell = printable(cell)
    return f"'{cell}" if cell.lstrip()[:1] in tuple("=+-@") else cell


def _json(log: Log, group: str) -> Iterator[bytes]:
    """Yield the parts of one JSON object; the numbers of each variable are written a range of rows at a time."""
    facts = dumps({"group": group, "experiment": log.experiment, "labels": _labels(log, group)}, None)
    yield _open(facts) + b', "variables": {'
    for n, (name, key) in enumerate(variables(log, group).items()):
        about, shape = log.variables[key], log.shape(key)
        kept = {"attributes": dict(about.attrs)} if about.attrs else {}
        facts = dumps({"dimensions": about.dims, "units": about.units, "long_name": about.long_name, **kept}, None)
        yield b", " * (n > 0) + dumps(name, None).strip().encode() + b": " + _open(facts) + b', "values": ['
        for start, stop in row_ranges(shape[0], row_bytes(about, shape), _PART):
            rows = dumps(log.read(key, start, stop), None).strip()[1:-1]
            yield b", " * (start > 0) + rows.encode()
        yield b"]}"
    yield b"}}\n"


def _open(text: str) -> bytes:
    """A JSON object without its closing brace, so that more can be added."""
    return text.strip().removesuffix("}").encode()


def _npz(log: Log, group: str) -> bytes:
    keys = variables(log, group)
    size = sum(log.shape(key)[0] * row_bytes(log.variables[key], log.shape(key)) for key in keys.values())
    if size > MOST:
        raise UsageError(
            f"{log.path} has {size:,} bytes of {group}, and an .npz file gets {MOST:,}: choose .csv or .json, "
            "which are written by rows, or log.dataset() in Python."
        )
    words = {dim: names for dim, names in _labels(log, group).items() if dim not in keys}
    words |= {fact: x for of in _facts(log, group).values() for fact, x in of.items() if fact not in keys}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:  # numpy.savez has names of its own
        for name in (*keys, *words):
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                array = log[keys[name]] if name in keys else np.array(words[name])
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()


def _facts(log: Log, group: str, text: Callable[[str], str] = str) -> dict[str, dict[str, Any]]:
    """Of each variable what measured it, as {"fid": {"fid.extractor": "classifier", "fid.samples": 10000, ...}}."""
    return {
        name: {f"{name}.{k}": text(x) if isinstance(x, str) else x for k, x in log.variables[key].attrs.items()}
        for name, key in variables(log, group).items()
    }


def _labels(log: Log, group: str) -> dict[str, tuple[str, ...]]:
    dims = {dim for key in variables(log, group).values() for dim in log.variables[key].dims}
    return {dim: names for dim in sorted(dims) if (names := log.labels(dim))}


FORMATS: dict[str, Callable[[Log, str], bytes | Iterable[bytes]]] = {".csv": _csv, ".json": _json, ".npz": _npz}
