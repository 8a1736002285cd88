"""Successive halving: at each rung the better half of the cells goes on, and the others are dropped where they stand.

Jamieson & Talwalkar 2016, arXiv 1502.07943. A run is played to a rung as if it were to go on: it is interrupted there.
So a cell that gets to the end is the run that it would have been alone. Its quantity at a rung is read from its log,
and the same cells are kept whenever the sweep is stopped and played again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadLog, UsageError
from ..log.blocks import column, pieces_of
from ..storage.run_directory import RunDirectory
from .cell import Cell
from .local import Tell
from .sweep_directory import SweepDirectory
from .work import Work

Player = Callable[[Work, Sequence[Cell], Tell, Callable[[], bool]], None]  # an executor
_FIELDS = {"gradient_norm": "gradient_norms", "parameter_norm": "parameter_norms", "loss": "losses"}


@dataclass(frozen=True)
class Halving:
    """How cells are compared, as ``gradient_norm``, ``loss.x``, ``metric.fid`` or ``metric.inception_score:max``.

    ``part`` is a player, None for all together, or a metric. The best one is the least, with ``:max`` the largest.
    """

    quantity: str
    part: str | None
    largest: bool
    rungs: tuple[int, ...]

    @staticmethod
    def read(text: str, rungs: Sequence[int], cells: Sequence[Cell]) -> Halving:
        """What was typed. Without ``rungs`` these are an eighth, a quarter and half of the steps. Raises UsageError."""
        match = re.fullmatch(r"(gradient_norm|parameter_norm|loss|metric)(?:\.([^:\s]+))?(:max)?", text.strip())
        if match is None or (match[1] in ("loss", "metric") and match[2] is None):
            raise UsageError(
                f"--halving {text:.60}: expected gradient_norm, parameter_norm, loss.PLAYER or metric.NAME, with :max "
                "if the largest is the best."
            )
        steps = {cell.experiment["steps"] for cell in cells}
        if len(steps) != 1:
            raise UsageError("--halving compares cells after the same steps, and steps is an axis of this sweep.")
        (last,) = steps
        chosen = tuple(sorted({*(rungs or (last // 8, last // 4, last // 2))} - {0}))
        if not chosen or chosen[-1] >= last:
            raise UsageError(f"the rungs of --halving lie between 0 and the last step, {last}; got {list(chosen)}.")
        return Halving(match[1], match[2], match[3] is not None, chosen)

    def value(self, directory: Path, step: int) -> float:
        """The quantity of a run at its last record up to ``step``, of members the worst; inf if there is none.

        With ``:max`` its negative, so that the least is the best. Raises UsageError if the run has no such quantity.
        """
        key = f"metrics/{self.part}" if self.quantity == "metric" else f"step/{_FIELDS[self.quantity]}"
        group = key.partition("/")[0]
        pieces = pieces_of(directory)
        if not any(key in found.variables for _, found in pieces):
            if self.quantity == "metric" and any(found.length("step") for _, found in pieces):
                raise UsageError(f"--halving: the runs of this sweep record no metric {self.part!r}.")
            return math.inf
        count = sum(found.length(group) for _, found in pieces)
        rows = column(pieces, f"{group}/step", 0, count) <= step
        if not rows.any():
            return math.inf
        at = int(np.flatnonzero(rows)[-1])
        found = self._one(np.asarray(column(pieces, key, at, at + 1)[0], dtype=float), directory)
        worst = float(np.max(-found if self.largest else found))
        return worst if math.isfinite(worst) else math.inf

    def _one(self, row: Any, directory: Path) -> Any:
        if self.quantity == "metric":
            return row
        if self.part is None:
            return np.sqrt(np.sum(row**2, axis=-1))
        players = [*RunDirectory(directory).run()["players"]]
        if self.part not in players:
            raise UsageError(f"--halving {self.quantity}.{self.part}: the players are {', '.join(players)}.")
        return row[..., players.index(self.part)]


def halve(
    halving: Halving,
    player: Player,
    work: Work,
    cells: Sequence[Cell],
    tell: Tell,
    stop: Callable[[], bool],
) -> list[Cell]:
    """Play the cells from rung to rung, and return those that are to be played to their end. The others are dropped."""
    sweep, kept = work.sweep, list(cells)
    for cell in cells:
        sweep.drop(cell.name, None)
    for rung in halving.rungs:
        to_here = Work(sweep, partial(work.play, stop_at=rung), work.retry, work.foreign)
        due = [c for c in sweep.waiting(kept, failed=work.retry) if sweep.state(c.name).step < rung]
        player(to_here, due, tell, stop)
        if stop() or any(sweep.state(c.name).step < rung for c in sweep.waiting(kept)):
            return []  # not all are there: nothing is decided
        values = {cell.name: _value(halving, sweep, cell, rung) for cell in kept}
        order = sorted(kept, key=lambda cell: (values[cell.name], cell.name))
        better = {cell.name for cell in order[: math.ceil(len(kept) / 2)] if values[cell.name] < math.inf}
        for cell in kept:
            if cell.name not in better:
                sweep.drop(cell.name, rung)
        kept = [cell for cell in kept if cell.name in better]
    return kept


def _value(halving: Halving, sweep: SweepDirectory, cell: Cell, rung: int) -> float:
    state = sweep.state(cell.name)
    if state.state in ("failed", "diverged"):
        return math.inf
    if state.state == "converged" and state.step < rung:
        return -math.inf
    try:
        return halving.value(sweep.directory(cell.name), rung)
    except BadLog:
        return math.inf
