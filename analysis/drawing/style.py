"""How figures look: colours that colour-blind readers can distinguish, lines and markers that differ in grey print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..optional import need

# The palette of Okabe and Ito, without its yellow, which is hard to see on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#777777"
# horizontal axis of curves -> its label
AGAINST = {
    "step": "step",
    "gradients": "gradient evaluations",
    "products": "Jacobian-vector products",
    "samples": "samples drawn",
    "seconds": "time of the solver (s)",
    "solver_seconds": "time of the solver (s)",
    "wall_seconds": "time (s)",
}
FONTS = {"pdf.fonttype": 42, "ps.fonttype": 42}  # publishers refuse matplotlib's default, Type 3

_STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "agg.path.chunksize": 10000,
    **FONTS,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style, without changing the user's settings of matplotlib."""
    with need("matplotlib", "a figure").rc_context(_STYLE), quiet():
        yield


def quiet() -> Any:
    """Without numpy's warnings of overflow, for runs that have blown up."""
    return np.errstate(over="ignore", invalid="ignore")


def ink() -> str:
    """The colour of text: black, or what the user's style, as a dark one, has in its place."""
    return str(need("matplotlib", "a figure").rcParams["text.color"])


def colour(i: int) -> str:
    """Return the ``i``-th colour. The last is that of text."""
    return COLOURS[i % len(COLOURS)] if i % len(COLOURS) < len(COLOURS) - 1 else ink()


def dash(i: int) -> Any:
    """Return the ``i``-th line style. Colour and line style together repeat after 49."""
    return LINES[(i + i // len(COLOURS)) % len(LINES)]


def marker(i: int) -> str:
    """Return the ``i``-th marker, which repeats with the colour after 49."""
    return MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]
