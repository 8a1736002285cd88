"""Figure: losses and gradient norms, against steps or any cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..log.log import Log
from .card import Card
from .scales import scale
from .style import AGAINST, legend_below, line, new_figure, short, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CARD = Card(
    summary="Losses and gradient norms of the players.",
    caption=(
        "Losses and gradient norms. Every player minimises its own loss. Noisy curves are pale, and their running "
        "median is drawn over them. In an ensemble the line is the median, and the band goes from the 10th to the "
        "90th percentile."
    ),
    needs=("step/losses",),
    options=("against",),
)

_ROWS = (("step/losses", "loss"), ("step/gradient_norms", "gradient norm, ‖∂ℓ/∂θ‖"))


def draw(logs: list[Log], against: str = "step") -> Figure:
    """One run: a curve for each player. Several runs: a panel for each player, with a curve for each run."""
    rows = [(key, name) for key, name in _ROWS if all(key in log for log in logs)]
    players = list(dict.fromkeys(p for log in logs for p in log.players))
    columns: list[str | None] = [None] if len(logs) == 1 else list(players)
    size = (6.8, 2.9) if len(columns) == 1 else (4.6, 2.9)
    fig, panels = new_figure(len(rows), len(columns), size, sharex="col")
    for (key, name), across in zip(rows, panels, strict=True):
        for axes, player in zip(across, columns, strict=True):
            shown: list[np.ndarray] = []
            for curve, log, own in _curves(logs, player):
                y = log[key][..., log.players.index(own)]
                shown.append(y.ravel())
                label = short(own) if player is None else title(log)
                line(axes, log[f"step/{against}"], y, curve, label, remark=player is None)
            scale(axes, np.concatenate(shown), positive="norm" in name)
            axes.set_ylabel(name if player is None else f"{name} of {short(player)}")
    for axes in panels[-1]:
        axes.set_xlabel(AGAINST[against])
    if len(logs) == 1:
        panels[0, 0].legend(loc="best")
    else:
        legend_below(fig)
    fig.suptitle(title(logs[0]) if len(logs) == 1 else "Losses and gradient norms", fontsize=10.5)
    return fig


def _curves(logs: list[Log], player: str | None) -> list[tuple[int, Log, str]]:
    """Return (number of the colour, run, player) for each curve. A run has the same colour in every panel."""
    if player is None:
        return [(i, logs[0], p) for i, p in enumerate(logs[0].players)]
    return [(i, log, player) for i, log in enumerate(logs) if player in log.players]
