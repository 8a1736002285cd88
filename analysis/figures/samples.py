"""Figure: what the generator makes, as sheets of images or clouds of points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..log.log import Log
from .card import Card
from .style import colour, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="What the generator makes.",
    caption="What the generator makes from one fixed draw of noise.",
    needs=("samples/images", "samples/points"),
)

_SHEETS = 4  # sheets drawn of one run: the first, the last, and evenly spaced ones between
_IMAGES = 64  # most images of one sheet


def draw(logs: list[Log]) -> Figure:
    """One run: sheets of several steps side by side. Several runs: the last sheet of each."""
    if len(logs) == 1:
        n = logs[0].length("samples")
        shown = [(logs[0], int(i)) for i in np.unique(np.linspace(0, n - 1, min(n, _SHEETS)).astype(int))]
    else:
        shown = [(log, log.length("samples") - 1) for log in logs]
    columns = min(len(shown), 4)
    fig, panels = new_figure(math.ceil(len(shown) / columns), columns, (3.2, 3.5))
    limits = _limits(shown)
    for axes, (log, row) in zip(panels.flat, shown, strict=False):
        step = _panel(axes, log, row, limits)
        axes.set_title(step if len(logs) == 1 else f"{title(log)}\n{step}")
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    fig.suptitle(title(logs[0]) if len(logs) == 1 else "Last samples", fontsize=10.5)
    return fig


def frames(log: Log, rows: list[int]) -> Iterator[Figure]:
    """A figure for each of the ``rows`` of the samples, all alike but for the samples."""
    limits = _limits([(log, row) for row in rows])
    for row in rows:
        fig, panels = new_figure(1, 1, (4.0, 4.4))
        panels[0, 0].set_title(_panel(panels[0, 0], log, row, limits))
        fig.suptitle(title(log), fontsize=9)
        yield fig


def _panel(axes: Axes, log: Log, row: int, limits: tuple[float, float]) -> str:
    """Draw one row of the samples, and return its step in words."""
    if "samples/images" in log:
        _sheet(axes, log.read("samples/images", row, row + 1)[0])
    else:
        _cloud(axes, log.read("samples/points", row, row + 1)[0], limits)
    return f"step {int(log.read('samples/step', row, row + 1)[0])}"


def sheet(images: np.ndarray) -> np.ndarray:
    """Return images (n, channel, height, width) as one array (rows, columns[, 3]) in [0, 1], one pixel apart.

    Values may be in [0, 1], or in [−1, 1] as those of tanh; the latter is assumed if any value is negative.
    """
    images = np.nan_to_num(images[:_IMAGES].astype(float), posinf=1.0, neginf=-1.0)
    if (images < 0).any():
        images = (images + 1) / 2
    n, channels, height, width = images.shape
    images = images[:, :3] if channels >= 3 else images[:, :1]
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.ones((images.shape[1], rows * (height + 1) - 1, columns * (width + 1) - 1))
    for i, image in enumerate(images):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        canvas[:, y : y + height, x : x + width] = np.clip(image, 0, 1)
    return canvas[0] if len(canvas) == 1 else canvas.transpose(1, 2, 0)


def _sheet(axes: Axes, images: np.ndarray) -> None:
    axes.imshow(sheet(images), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"{min(len(images), _IMAGES)} of {len(images)} samples, {images.shape[2]}×{images.shape[3]} pixels")


def _limits(shown: list[tuple[Log, int]]) -> tuple[float, float]:
    """One window for all clouds. It ignores the farthest percent of the points, which would make the rest too small."""
    clouds = [log.read("samples/points", row, row + 1)[0] for log, row in shown if "samples/points" in log]
    values = np.concatenate([c[:, :2].ravel() for c in clouds]) if clouds else np.zeros(0)
    values = np.abs(values[np.isfinite(values)])
    reach = float(np.percentile(values, 99)) * 1.15 if len(values) else 1.0
    return -(reach or 1.0), reach or 1.0


def _cloud(axes: Axes, points: np.ndarray, limits: tuple[float, float]) -> None:
    if points.shape[1] == 1:
        good = points[np.isfinite(points[:, 0]), 0]
        axes.hist(good, bins=40, range=limits, color=colour(0), label="generated")
        axes.set_xlabel("coordinate 0 (1)")
        axes.set_ylabel("number of points")
    else:
        axes.scatter(points[:, 0], points[:, 1], s=8, color=colour(0), alpha=0.5, linewidths=0, label="generated")
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        axes.set_aspect("equal")
        axes.set_xlabel("coordinate 0 (1)")
        axes.set_ylabel("coordinate 1 (1)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), markerscale=2)
