"""How long a run of the projection game was in projection periods (`core.stability.metastability`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.stability.metastability import projection_time
from ..log.log import Log

COMPONENTS = ("metrics/first_component", "metrics/second_component")
LEAST = 0.1  # least length of a period, as a share of the run
ROWS = 100  # least number of rows in which such periods can be seen


def lingering(log: Log) -> dict[str, Any] | None:
    """The ``share`` of a run that is spent in projection periods; for an ensemble, the share of each member.

    A period lasts at ``least`` a tenth of the run. None for a game without the metrics or the target. The share is None
    if the metrics have fewer than ROWS ``rows``.
    """
    game = log.experiment.get("game")
    target = np.asarray(game.get("target") if isinstance(game, Mapping) else None, dtype=object)
    if any(key not in log or log.shape(key) != log.shape(COMPONENTS[0]) for key in COMPONENTS):
        return None
    if target.shape != (2,) or not all(isinstance(x, int | float) and x and np.isfinite(x) for x in target):
        return None
    rows = log.length("metrics")
    facts: dict[str, Any] = {"share": None, "least": LEAST, "rows": rows}
    if rows >= ROWS:
        path = np.stack([log[key].reshape(rows, -1) for key in COMPONENTS], axis=-1)  # (rows, members, 2)
        share = projection_time(path, target.astype(float), int(np.ceil(LEAST * rows))) / rows
        facts["share"] = float(share[0]) if log.members is None else share
    return facts
