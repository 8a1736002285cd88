"""Figure: a result of many runs over two of their settings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UsageError
from ..drawing.card import Card
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel
from ..measures.found_runs import require_known
from ..measures.run_table import Row, columns_of, table_of_logs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="A result of many runs over two of their settings.",
    caption=(
        "A result of each run, by two settings; of the runs of one cell, as of several seeds, the median. A cross "
        "marks cells in which most runs diverged, a dash those without a number."
    ),
    needs=("step/losses",),
    wants="a result over two settings, of several runs or of a sweep",
    options=("x", "y", "value"),
    several=True,
)

_NOT_ASKED = ("run", "seed", "members", "status")
_NAMED = 80  # cells that have their numbers written in


def drawing(logs: list[Shown], x: str | None = None, y: str | None = None, value: str | None = None) -> Drawing:
    """A map of ``value``, a column of `table_of_logs`, by default the last gradient norm, over the settings x and y."""
    rows = table_of_logs(logs)
    names = columns_of(rows)
    asked = names[: names.index("status")]
    free = [n for n in asked if n not in _NOT_ASKED and len({str(row.get(n)) for row in rows}) > 1]
    for name in filter(None, (x, y)):
        require_known(name, asked, "setting of these runs named")
    left = [n for n in free if n not in (x, y)]
    x = x or (left.pop(0) if left else None)
    y = y or (left.pop(0) if left else None)
    if x is None or y is None:
        differ = f"differ in {', '.join(free)} only" if free else "do not differ in any"
        raise UsageError(f"A heat map needs two settings, and these runs {differ}; give more runs, or --x and --y.")
    value = value or "gradient_norm"
    require_known(value, names[names.index("status") :], "result of these runs named")
    panel = Panel(partial(_map, rows, x, y, value), (6.0, 4.6), "none")
    return Drawing(heading(logs, f"{value.replace('_', ' ')}, median"), [panel])


def _map(rows: list[Row], x: str, y: str, value: str, axes: Axes) -> None:
    from matplotlib.colors import LogNorm

    across, up = (sorted({row.get(n) for row in rows}, key=_order) for n in (x, y))
    table, gone = np.full((len(up), len(across)), np.nan), np.zeros((len(up), len(across)), dtype=bool)
    for i, j in np.ndindex(table.shape):
        own = [row for row in rows if (row.get(y), row.get(x)) == (up[i], across[j])]
        numbers = [row[value] for row in own if isinstance(row.get(value), int | float)]
        gone[i, j] = 2 * sum(row.get("status") == "diverged" for row in own) > len(own)
        if numbers and 2 * len(numbers) > len(own):
            table[i, j] = float(np.median(numbers))
    shown = np.where(gone, np.nan, table)
    good = shown[np.isfinite(shown)]
    norm: Any = None
    if len(good) and good.min() > 0 and good.max() > 100 * good.min():
        norm = LogNorm(good.min(), good.max())
    axes.grid(False)
    axes.set_facecolor("#e9e9e9")
    cells = axes.pcolormesh(np.ma.masked_invalid(shown), cmap="viridis", norm=norm, edgecolors="white", linewidth=1)
    if len(good) and (fig := axes.figure) is not None:
        fig.colorbar(cells, ax=axes, label=value.replace("_", " "), shrink=0.9)
    for i, j in np.ndindex(table.shape):
        text = "✕" if gone[i, j] else f"{shown[i, j]:.2g}" if np.isfinite(shown[i, j]) else "–"
        if table.size <= _NAMED or text in "✕–":
            dark = np.isfinite(shown[i, j]) and not gone[i, j] and float(np.asarray(cells.norm(shown[i, j]))) < 0.6
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize="small", color="w" if dark else "k")
    axes.set_xticks(np.arange(len(across)) + 0.5, [_tick(one) for one in across], rotation=30 if len(across) > 6 else 0)
    axes.set_yticks(np.arange(len(up)) + 0.5, [_tick(one) for one in up])
    axes.set_xlabel(short(x, 40))
    axes.set_ylabel(short(y, 40))


def _order(x: Any) -> tuple[bool, Any]:
    return (True, str(x)) if not isinstance(x, int | float) else (False, x)


def _tick(x: Any) -> str:
    return f"{x:.3g}" if isinstance(x, float) else short(str(x), 16)
