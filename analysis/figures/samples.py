"""Figure: what the generator makes, as sheets of images or clouds of points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.card import Card
from ..drawing.names import Shown, heading
from ..drawing.page import LEAST, Drawing, Panel, figure
from ..drawing.style import GREY, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="What the generator makes.",
    caption=(
        "What the generator makes from one fixed draw of noise; of points, those of the data are beside them. "
        "Of an ensemble member 0 is shown."
    ),
    needs=("samples/images", "samples/points"),
    wants="samples of a game that has something to show, which a run records with --sample-every N",
)

_SHEETS = 4  # sheets drawn of one run: the first, the last, and evenly spaced ones between
_IMAGES = 64  # most images of one sheet


def drawing(logs: list[Shown]) -> Drawing:
    """One run: sheets of several steps side by side. Several runs: the last sheet of each."""
    if len(logs) == 1:
        n = logs[0].length("samples")
        shown = [(logs[0], int(i)) for i in np.unique(np.linspace(0, n - 1, min(n, _SHEETS)).astype(int))]
    else:
        shown = [(log, log.length("samples") - 1) for log in logs]
    limits = _limits(shown)
    columns = len(shown) if len(shown) <= 4 else min((4, 5, 3), key=lambda n: -len(shown) % n)
    wide = min(12.0 / columns, 3.4)
    panels = [Panel(partial(_panel, log, row, limits, len(logs) > 1), (wide, wide + 0.7)) for log, row in shown]
    title = heading(logs, "Last samples")
    if any(log.members is not None for log in logs):
        title += f", member 0 of {logs[0].members}" if len(logs) == 1 else ", of ensembles member 0"
    least = 1.5 if all("samples/images" in log for log in logs) else LEAST  # sheets have no numbers at their sides
    return Drawing(title, panels, columns, shared_legend=True, least=least)


def frames(log: Shown, rows: list[int]) -> Iterator[Figure]:
    """A figure for each of the ``rows`` of the samples, all alike but for the samples."""
    limits = _limits([(log, row) for row in rows])
    for row in rows:
        panel = Panel(partial(_panel, log, row, limits, False), (4.0, 4.4))
        yield figure(Drawing(heading([log], ""), [panel], shared_legend=True))


def _panel(log: Shown, row: int, limits: tuple[float, float], named: bool, axes: Axes) -> None:
    """Draw one row of the samples."""
    if "samples/images" in log:
        _sheet(axes, log.read("samples/images", row, row + 1)[0])
    else:
        data = log.read("samples/data", row, row + 1)[0] if "samples/data" in log else None
        _cloud(axes, log.read("samples/points", row, row + 1)[0], data, limits)
    step = f"step {int(log.read('samples/step', row, row + 1)[0])}"
    axes.set_title(f"{log.label}\n{step}" if named else step)


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


def _limits(shown: list[tuple[Shown, int]]) -> tuple[float, float]:
    """One window for all clouds. It ignores the farthest percent of the points, which would make the rest too small."""
    reach, data = list[float](), list[float]()
    for log, row in shown:
        for key, found in (("samples/points", reach), ("samples/data", data)):
            if key in log:
                values = np.abs(log.read(key, row, row + 1)[0][:, :2])
                values = values[np.isfinite(values)]
                found += [float(np.percentile(values, 99))] if len(values) else []
    if data:  # what is far from the data is out of view, and counted
        reach = [min(r, 3 * max(data)) for r in reach] + data
    # the cloud of a run that diverged would make all others a dot
    most = max((r for r in reach if r <= 20 * np.median(reach)), default=1.0) * 1.15 or 1.0
    return -most, most


def _cloud(axes: Axes, points: np.ndarray, data: np.ndarray | None, limits: tuple[float, float]) -> None:
    if points.shape[1] == 1:
        if data is not None:
            axes.hist(data[np.isfinite(data[:, 0]), 0], bins=40, range=limits, color="#bbbbbb", label="data")
        good = points[np.isfinite(points[:, 0]), 0]
        axes.hist(good, bins=40, range=limits, color=colour(0), alpha=0.75, label="generated")
        axes.set_xlabel("coordinate 0")
        axes.set_ylabel("number of points")
        return
    style: dict[str, Any]
    if data is not None:
        size = 10 if len(np.unique(data, axis=0)) > 8 else 60  # of a data set of few points
        axes.scatter(
            data[:, 0], data[:, 1], s=size, color="#9a9a9a", marker="x", linewidths=0.8, label="data", zorder=2
        )
    style = {"s": 8 if len(points) > 8 else 30, "alpha": 0.55 if len(points) > 8 else 1.0}
    axes.scatter(points[:, 0], points[:, 1], color=colour(0), linewidths=0, label="generated", zorder=3, **style)
    if outside := int((~(np.abs(points[:, :2]) <= limits[1]).all(axis=1)).sum()):
        words = f"{outside} of {len(points)} out of view"
        axes.text(0.97, 0.97, words, transform=axes.transAxes, ha="right", va="top", fontsize="small", color=GREY)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.set_xlabel("coordinate 0")
    axes.set_ylabel("coordinate 1")
