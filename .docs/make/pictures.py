"""How pictures of the gallery look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "counterplay",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
}


def figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes (rows, columns), with panels of ``size`` inches."""
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(size[0] * columns, size[1] * rows))
        axes = fig.subplots(rows, columns, squeeze=False, **options)
    width, height = size[0] * columns, size[1] * rows
    fig.subplots_adjust(0.7 / width, 0.5 / height, 1 - 0.1 / width, 1 - 0.3 / height, 0.28, 0.4)
    return fig, axes


def save(fig: Figure, path: Path) -> None:
    """Write a figure; the same numbers give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        fig.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def shades(sizes: np.ndarray) -> np.ndarray:
    """The colours of step sizes, from dark (0.001) to light (3), on a logarithmic scale: (n, 4)."""
    where = np.log(sizes / 1e-3) / np.log(3e3)
    return matplotlib.colormaps["plasma"](0.9 * where)


def eigenvalues(axes: Any, found: np.ndarray, sizes: np.ndarray, marker: str, title: str) -> None:
    """Draw eigenvalues (sizes, modes, 2) in the complex plane, with the circle of modulus 1."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.4", linestyle="--", linewidth=1))
    flat = found.reshape(-1, 2)
    axes.scatter(flat[:, 0], flat[:, 1], c=np.repeat(shades(sizes), found.shape[1], 0), marker=marker, s=9, zorder=3)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xlabel="Re λ", title=title)
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1])
