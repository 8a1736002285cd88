"""The table of many runs as text, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import UsageError, printable
from ...core.storage.atomic import write_atomic
from ..drawing.names import cut
from ..log.export import harmless
from ..measures.run_table import Row, columns_of, unreadable
from ..optional import need
from .comparison import aligned

_CELL = 30  # longest text of a cell
MOST = 200  # most rows that are printed; a file has all
# The columns of a narrow terminal, the first to be kept first; then come those that were asked for, then the settings.
_FIRST = ("run", "status", "seeds")
_LAST = ("wall_seconds", "members")


def lines(rows: Sequence[Row], width: int, asked: Sequence[str] = ()) -> Iterator[str]:
    """What the rows have in common, then a line for each with what differs, as far as it fits: first what is asked."""
    rows = [_with_intervals({k: x for k, x in row.items() if k != "reason"}) for row in rows]
    names = columns_of(rows)
    good = [row for row in rows if not unreadable(row)] or rows
    same = [n for n in names if len(good) > 1 and n != "run" and len({str(row.get(n)) for row in good}) == 1]
    same = [n for n in same if n != "status" or len(good) == len(rows)]
    common = {n: text(good[0].get(n)) for n in same if good[0].get(n) is not None}
    if common:
        yield "all runs: " + cut(", ".join(f"{n} {x}" for n, x in common.items()), max(width - 10, 40))
        yield ""
    shown, left = list[str](), list[str]()
    cells = {n: [n, *(cut(text(row.get(n)), _CELL) for row in rows[:MOST])] for n in names if n not in same}
    room = width
    settings = names[: names.index("steps")] if "steps" in names else []
    order = [n for n in dict.fromkeys((*_FIRST, *asked, "solver", *settings, "gradient_norm")) if n not in _LAST]
    for name in sorted(cells, key=lambda n: (order.index(n) if n in order else 999 + (n in _LAST), names.index(n))):
        wide = max(map(len, cells[name])) + 2
        if wide <= room + 2:
            shown.append(name)
            room -= wide
        else:
            left.append(name)
    shown.sort(key=names.index)
    yield from aligned(list(zip(*(cells[name] for name in shown), strict=True)))
    if len(rows) > MOST:
        yield f"… and {len(rows) - MOST} more rows: -o FILE.csv has all."
    if left:
        yield ""
        yield f"Also: {', '.join(left)}. A wider terminal shows more, -o FILE.csv all."


def _with_intervals(row: Row) -> Row:
    """Of a row over seeds, a median with its least and largest value as one text."""
    out = dict(row)
    for name in row:
        if f"{name}_low" in row and f"{name}_high" in row:
            low, high = out.pop(f"{name}_low"), out.pop(f"{name}_high")
            if row[name] is not None and low != high:
                out[name] = f"{text(row[name])} [{text(low)}, {text(high)}]"
    return out


def text(value: Any) -> str:
    """A value of the table in three digits, whole numbers up to a million as they are."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{int(value)}" if value == int(value) and abs(value) < 1e6 else f"{value:.3g}"
    return printable(str(value))


def write(rows: Sequence[Row], target: Path) -> Path:
    """Write the table to a .csv or .parquet file, all columns and all digits. Raises UsageError for another ending."""
    names = columns_of(rows)
    if target.suffix.lower() == ".csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([harmless(name) for name in names])
        for row in rows:
            values = [row.get(name) for name in names]
            writer.writerow([harmless(x) if isinstance(x, str) else "" if x is None else x for x in values])
        return write_atomic(target, file.getvalue().encode())
    if target.suffix.lower() == ".parquet":
        arrow, parquet = (
            need("pyarrow", "a Parquet file", "parquet"),
            need("pyarrow.parquet", "a Parquet file", "parquet"),
        )
        data = {name: _typed([row.get(name) for row in rows]) for name in names}
        buffer = arrow.BufferOutputStream()
        parquet.write_table(arrow.table(data), buffer)
        return write_atomic(target, buffer.getvalue().to_pybytes())
    raise UsageError(f"A table cannot be written as {target.name!r}: end the name in .csv or .parquet.")


def _typed(values: list[Any]) -> list[Any]:
    """A column of one type: text where not all are numbers."""
    if all(x is None or isinstance(x, int | float) for x in values):
        return [x if x is None or all(isinstance(y, int) or y is None for y in values) else float(x) for x in values]
    return [None if x is None else str(x) for x in values]
