"""Figure: losses and gradient norms, against steps or any cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import UsageError
from ..drawing.card import Card
from ..drawing.curves import line, together
from ..drawing.groups import Group, groups
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel, Place
from ..drawing.scales import scale
from ..drawing.style import AGAINST
from ..measures.convergence import diverged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Losses and gradient norms of the players.",
    caption=(
        "Losses and gradient norms. Every player minimises its own loss. Noisy curves are pale, and their running "
        "median is drawn over them. Of an ensemble, and of seeds of one experiment, the line is the median and the "
        "band goes from the 10th to the 90th percentile. The view is that of the runs that did not diverge."
    ),
    needs=("step/losses",),
    wants="the losses of at least one step",
    options=("against", "each"),
)

_ROWS = (("step/losses", "loss"), ("step/gradient_norms", "gradient norm"))


def drawing(logs: list[Shown], against: str = "step", each: bool = False) -> Drawing:
    """One run: a curve for each player. Several runs: a panel for each player, with a curve for each run."""
    rows = [(key, name) for key, name in _ROWS if all(key in log for log in logs)]
    players = list(dict.fromkeys(p for log in logs for p in log.players))
    if len(logs) == 1:
        named = 0 if logs[0].members is None else len(rows) - 1  # the panel with the legend
        panels = []
        for i, (key, name) in enumerate(rows):
            place: Place = "none" if i != named else "inside" if logs[0].members is None else "below"
            panels.append(Panel(partial(_one, logs[0], key, name, against), (6.8, 2.9), place, name))
        return Drawing(heading(logs, ""), panels, shared_legend=True, shared_x=True)
    if against != "step" and all(np.ptp(log[f"step/{against}"]) == 0 for log in logs):
        raise UsageError(f"None of the runs needed any {AGAINST[against]}; draw against step or gradients.")
    runs = groups(logs, each)
    panels = [
        Panel(
            partial(_several, runs, player, key, name, against, len(players) > 1),
            (4.6, 2.9),
            name=f"{name} of {player}" if len(players) > 1 else name,
        )
        for key, name in rows
        for player in players
    ]
    title = heading(logs, "Losses and gradient norms")
    return Drawing(title, panels, len(players), shared_legend=True, shared_x=True)


def _one(log: Shown, key: str, name: str, against: str, axes: Axes) -> None:
    x, values, inside = log[f"step/{against}"], log[key], ~diverged(log)
    lost = bool(inside.any() and not inside.all())
    seen = values[:, inside] if lost else values  # the view is that of members that did not diverge
    scale(axes, [seen[..., i] for i in range(len(log.players))], positive="norm" in name, cut=lost)
    for i, player in enumerate(log.players):
        line(axes, x, seen[..., i], i, short(player), "members that did not diverge" if lost else "members")
    axes.set_xlabel(AGAINST[against])
    axes.set_ylabel(f"{name} ‖∂ℓ/∂θ‖" if "norm" in name else name)


def _several(runs: Sequence[Group], player: str, key: str, name: str, against: str, several: bool, axes: Axes) -> None:
    drawn = []
    for run in runs:
        own = [log for log in run.logs if player in log.players]
        curves = [(log[f"step/{against}"], log[key][..., log.players.index(player)]) for log in own]
        moves = [np.ptp(x) > 0 or len(x) == 1 for x, _ in curves]
        x, y = together(curves) if len(curves) > 1 else curves[0] if curves else (np.zeros(0), np.zeros(0))
        words = run.label + ", diverged" * run.failed
        if curves and not any(moves):
            axes.plot([], [], linestyle="none", label=f"{run.label}: needs none")
        elif curves:
            drawn.append((run.failed, y))
            line(axes, x, y, run.index, words, run.of)
    kept = [y for failed, y in drawn if not failed]
    scale(axes, kept or [y for _, y in drawn], positive="norm" in name, cut=bool(kept) and len(kept) < len(drawn))
    axes.set_xlabel(AGAINST[against])
    axes.set_ylabel(f"{name} of {short(player, 16)}" if several else name)
