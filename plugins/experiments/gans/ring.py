"""What a generator does on a ring of Gaussians, from the shares of its samples that are nearest to each mode.

All looks of a run are at the same noise. What moves between two looks is therefore the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Measured
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve
from ....core.experiments.panel import points as scatter

Log = Mapping[str, NDArray[np.float64]]
MODES = 8
HELD = 1 / (3 * MODES)  # a mode is held if it has a third of its due
LOOKS = 20


def run(game: Mapping[str, Any], solver: Mapping[str, Any], steps: int, members: int) -> dict[str, Any]:
    """The table of a run on the ring, with 20 looks."""
    return {
        "game": {"name": "mixture", **game}, "solver": solver, "steps": steps, "members": members,
        "every": max(1, steps // 100), "sample_every": steps // LOOKS,
    }  # fmt: skip


def moved(log: Log, part: slice = slice(LOOKS // 2, None)) -> NDArray[np.float64]:
    """The share of the samples that are at another mode than at the look before (members,): the median over looks.

    It is half the sum of the changes of the shares, so what two samples exchange does not count. ``part`` says which
    looks count, by default the second half.
    """
    between = np.abs(np.diff(shares(log)[part], axis=0)).sum(-1) / 2
    return np.asarray(np.median(between, axis=0))


def held(log: Log, part: slice = slice(-LOOKS // 4, None)) -> NDArray[np.float64]:
    """How many modes have a third of their due (members,): the median over looks, by default the last quarter."""
    return np.asarray(np.median((shares(log)[part] >= HELD).sum(-1), axis=0))


def good(log: Log, part: slice = slice(-LOOKS // 4, None)) -> NDArray[np.float64]:
    """The share of the samples that are within 4 standard deviations of a mode (members,), the mean over looks."""
    found = log["metrics/good_samples"]
    return np.asarray(found.reshape(len(found), -1)[part].mean(axis=0))


def shares(log: Log) -> NDArray[np.float64]:
    """The shares (looks, members, 8)."""
    found = log["metrics/mode_share"]
    return found.reshape(len(found), -1, MODES)


def figures(logs: Mapping[str, Log]) -> dict[str, Measured]:
    """moved_NAME, held_NAME and good_NAME of each run, each the median over members."""
    measures = {"moved": moved, "held": held, "good": good}
    return {f"{what}_{name}": median(f(log)) for name, log in logs.items() for what, f in measures.items()}


def panels(logs: Mapping[str, Log]) -> list[Panel]:
    """Of member 0: its samples at the start and at four later looks, and how many modes all members hold."""
    found = []
    for name, log in logs.items():
        points, steps = log["samples/points"], log["samples/step"]
        at = np.linspace(0, len(points) - 1, 5).astype(int)
        clouds = [scatter(f"step {steps[n]:.0f}", points[n, :256, 0], points[n, :256, 1]) for n in at]
        found.append(Panel(f"{name}: samples", "x", "y", tuple(clouds), square=True))
    number = [curve(name, log["metrics/step"], (shares(log) >= HELD).sum(-1).mean(-1)) for name, log in logs.items()]
    title = "modes with a third of their due"
    return [*found, Panel(title, "step", "modes, mean over members", tuple(number), marks={"all": float(MODES)})]
