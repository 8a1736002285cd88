"""Conditions under which a run has converged, as text: ``gradient_norm<1e-6``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..game.tree import Player
from .monitor import Array, StepMetrics, joint

COMPARE: dict[str, Callable[[Array, float], Array]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A field of StepMetrics compared with a value."""

    field: str
    player: int | None  # the player's index; None: all players together
    sign: str  # <, <=, > or >=
    value: float

    def holds(self, metrics: StepMetrics) -> Any:
        """Whether it holds: a bool for each member and each step in ``metrics`` (...)."""
        x = getattr(metrics, self.field)  # (..., P)
        x = joint(np.moveaxis(x, -1, 0)) if self.player is None else x[..., self.player]
        return COMPARE[self.sign](x, self.value)

    def __call__(self, metrics: StepMetrics) -> bool:
        """Whether it holds for all members."""
        return bool(np.all(self.holds(metrics)))


def until(text: str, players: tuple[Player, ...]) -> Condition:
    """A stopping condition like ``gradient_norm<1e-6``, ``gradient_norm.x<1e-6`` or ``loss.y>=0``.

    Without a player, ``gradient_norm`` is the norm over all players. In an ensemble every member has to meet the
    condition. Raises UsageError if ``text`` is no such condition.
    """
    match = re.fullmatch(r"\s*(gradient_norm|parameter_norm|loss)(?:\.(\S+?))?\s*(<=|>=|<|>)\s*(\S+)\s*", text)
    try:
        quantity, player, sign, number = match.groups() if match else (None,) * 4
        value = float(number)  # type: ignore[arg-type]
        if not math.isfinite(value):  # 1e400 is inf in Python, and every norm is below inf
            raise ValueError
    except (TypeError, ValueError):
        raise UsageError(
            f"cannot read the condition {text!r}: expected a quantity (gradient_norm, parameter_norm, loss.PLAYER), "
            "one of < <= > >= and a number, as in gradient_norm<1e-6."
        ) from None
    if (player is not None or quantity == "loss") and player not in players:
        raise UsageError(
            f"the condition {text!r} needs one of the players {', '.join(players)}, as in {quantity}.{players[0]}."
        )
    field = {"gradient_norm": "gradient_norms", "parameter_norm": "parameter_norms", "loss": "losses"}[str(quantity)]

    return Condition(field, None if player is None else players.index(player), str(sign), value)
