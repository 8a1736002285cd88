"""When a run ends before its last step: it has met a condition, as ``metric.fid<20``, or its patience has run out.

Norms and losses are compared at every step. Metrics are compared where they are measured: every so many steps, and at
the last one. Patience counts these measurements, whatever the quantity.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..game.tree import Player
from ..solver.state import BestValue, State
from .ending import Ending
from .monitor import Array, StepMetrics, joint_norm
from .observers import Seen

COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
FIELDS = {"gradient_norm": "gradient_norms", "parameter_norm": "parameter_norms", "loss": "losses"}  # of StepMetrics


@dataclass(frozen=True)
class Condition:
    """A quantity of a step compared with a value. NaN never meets it."""

    quantity: str  # a name in FIELDS, or "metric"
    part: Any  # the player's index, or None for all players together; the name of the metric
    sign: str  # <, <=, > or >=
    value: float

    def holds(self, figures: StepMetrics) -> Any:
        """Whether it holds of norms or losses: a bool for each member and each step in ``figures`` (...)."""
        return COMPARE[self.sign](self._norm_or_loss(figures), self.value)

    def _norm_or_loss(self, figures: StepMetrics) -> Array:
        x = getattr(figures, FIELDS[self.quantity])  # (..., P)
        return joint_norm(np.moveaxis(x, -1, 0)) if self.part is None else x[..., self.part]

    def at(self, seen: Seen) -> float:
        """The quantity, in an ensemble that of the member farthest from meeting the condition. NaN if one is NaN.

        Raises UsageError if the game has no such metric.
        """
        x = _metric(self.part, seen) if self.quantity == "metric" else self._norm_or_loss(seen.figures)  # (), (M,)
        return float(np.max(x) if self.sign in ("<", "<=") else np.min(x))


@dataclass(frozen=True)
class Stopping:
    """Ends a run when ``condition`` holds for all members, or when patience has run out.

    condition  None: nothing ends the run before its last step
    every      the number of steps between two measurements
    patience   the number of measurements in a row without a value better than the best before, after which a run ends
    quantity   what the condition compares, as the user wrote it
    """

    condition: Condition | None
    every: int = 1
    patience: int | None = None
    quantity: str = ""

    @property
    def by_metric(self) -> bool:
        """Whether the condition compares a metric."""
        return self.condition is not None and self.condition.quantity == "metric"

    @property
    def of_steps(self) -> Condition | None:
        """The condition, if it is compared at every step."""
        return None if self.by_metric else self.condition

    @property
    def _measures(self) -> bool:
        return self.by_metric or self.patience is not None

    def steps_until_due(self, step: int, most: int) -> int:
        """How many steps from ``step`` on need no measurement, at most ``most``."""
        return min(most, -step % self.every) if self._measures else most

    def is_due(self, seen: Seen) -> bool:
        """Whether the quantity is measured here, for patience or because it is a metric."""
        return self._measures and (seen.step % self.every == 0 or seen.last)

    def best(self, seen: Seen, before: BestValue | None) -> BestValue | None:
        """The best measurement up to this one, from the best one ``before``. One that is not finite is no best."""
        if self.condition is None:
            return before
        now = self.condition.at(seen)
        better = operator.lt if self.condition.sign in ("<", "<=") else operator.gt
        return BestValue(now, seen.step) if math.isfinite(now) and (not before or better(now, before.value)) else before

    def ending(self, seen: Seen, state: State, alive: Tensor) -> Ending | None:
        """How the run ends here; None if it goes on. Once a member has diverged, the condition cannot be met."""
        if self.condition is not None and self._is_met(self.condition, seen) and bool(alive.all()):
            return Ending(state, "converged")
        if self.patience is not None and self.is_due(seen) and self._since(state) >= self.patience:
            return Ending(state, "not_converged", f"Patience has run out: {self._best_in_words(state)}.")
        return None

    def last_ending(self, seen: Seen, state: State) -> Ending:
        """How the run ends when all steps are taken."""
        if self.condition is None:
            return Ending(state, "max_steps")
        best = f": {self._best_in_words(state)}" if self._measures else ""
        missed = Ending(state, "not_converged", f"The condition was not met within {state.step} steps{best}.")
        return self.ending(seen, state, state.alive) or missed

    def _is_met(self, condition: Condition, seen: Seen) -> bool:
        if not self.by_metric:
            return bool(np.all(condition.holds(seen.figures)))
        return self.is_due(seen) and bool(COMPARE[condition.sign](condition.at(seen), condition.value))

    def _since(self, state: State) -> int:
        """How many measurements there were after the best one; all, if none was a finite number."""
        if state.best is None:
            return math.ceil(state.step / self.every) + 1
        return math.ceil((state.step - state.best.step) / self.every)

    def _best_in_words(self, state: State) -> str:
        if state.best is None:
            return f"{self.quantity} was never a finite number"
        since = self._since(state)
        ago = f", {since} measurement{'s' * (since > 1)} ago" if since else ""
        return f"{self.quantity} was best at step {state.best.step}{ago}, with the value {state.best.value:.6g}"


def _metric(name: str, seen: Seen) -> Array:
    """A metric of one number: (), or (M,) for an ensemble. Raises UsageError if there is none of this name."""
    members = seen.figures.losses.shape[:-1]
    found = {k: x for k, x in seen.metrics.items() if x.shape == members and x.dtype.kind in "biuf"}
    if name in found:
        return np.asarray(found[name], dtype=float)
    if name in seen.metrics:
        shape = seen.metrics[name].shape[len(members) :]
        problem = f"the metric {name!r} has the shape {shape}, and a condition compares a single real number."
    else:
        problem = f"there is no metric {name!r}{did_you_mean(name, found)}"
    none = "This game has no metric of one number; a game of images measures those that it is given, as -g metrics=fid"
    known = f"The metrics of one number are {', '.join(found)}" if found else none
    raise UsageError(f"{problem} {known}.")


def until(text: str, players: tuple[Player, ...]) -> Condition:
    """A stopping condition like ``gradient_norm<1e-6``, ``gradient_norm.x<1e-6``, ``loss.y>=0`` or ``metric.fid<20``.

    Without a player, ``gradient_norm`` is the norm over all players. In an ensemble every member has to meet the
    condition. Raises UsageError if ``text`` is no such condition. A metric is looked for when it is measured.
    """
    match = re.fullmatch(r"\s*(gradient_norm|parameter_norm|loss|metric)(?:\.(\S+?))?\s*(<=|>=|<|>)\s*(\S+)\s*", text)
    try:
        quantity, part, sign, number = match.groups() if match else (None,) * 4
        value = float(number)  # type: ignore[arg-type]
        if not math.isfinite(value) or (quantity == "metric" and part is None):
            raise ValueError  # 1e400 is inf in Python, and every norm is below inf
    except (TypeError, ValueError):
        raise UsageError(
            f"cannot read the condition {text!r}: expected a quantity (gradient_norm, parameter_norm, loss.PLAYER, "
            "metric.NAME), one of < <= > >= and a number, as in gradient_norm<1e-6."
        ) from None
    quantity, sign = str(quantity), str(sign)
    if quantity == "metric":
        return Condition(quantity, part, sign, value)
    if (part is not None or quantity == "loss") and part not in players:
        raise UsageError(
            f"the condition {text!r} needs one of the players {', '.join(players)}, as in {quantity}.{players[0]}."
        )
    return Condition(quantity, None if part is None else players.index(part), sign, value)


def stopping(text: str | None, patience: int | None, every: int, players: tuple[Player, ...]) -> Stopping:
    """What ends a run early: the condition in ``text``, if there is one, and ``patience``. Raises UsageError."""
    if text is not None:
        return Stopping(until(text, players), every, patience, re.split("[<>]", text)[0].strip())
    if patience is not None:
        raise UsageError(
            f"patience {patience} needs a condition whose quantity it watches, as in --until 'metric.fid<20'."
        )
    return Stopping(None)
