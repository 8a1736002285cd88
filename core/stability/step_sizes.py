"""What an experiment says of the steps that were asked for: their sizes, and whether they descend a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Solvers that move θ − lr w(θ) with a w that knows nothing of lr: what lr does to them is Lemma 4.
_DESCENDING = ("simgd", "conopt", "jare", "reggeneratoronly", "regdiscriminatoronly", "sga", "hamiltonian")


def name_of(value: Any) -> str | None:
    """Return the name in ``"simgd"`` or ``{"name": "simgd", …}``."""
    if isinstance(value, Mapping):
        value = value.get("name")
    return None if value is None else str(value)


def step_sizes(experiment: Mapping[str, Any], players: Sequence[str]) -> dict[str, NDArray[np.float64]] | None:
    """The learning rate of each player, () or (members,); None where the experiment does not say it in numbers."""
    solver = experiment.get("solver")
    lr = solver.get("lr") if isinstance(solver, Mapping) else None
    given = lr if isinstance(lr, Mapping) else dict.fromkeys(players, lr)
    if set(given) != set(players) or not players:
        return None
    try:
        sizes = {i: np.asarray(given[i], dtype=np.float64) for i in players}
    except (TypeError, ValueError):
        return None
    return sizes if all(s.ndim <= 1 and s.size and np.isfinite(s).all() for s in sizes.values()) else None


def descends(experiment: Mapping[str, Any]) -> bool:
    """Whether a step is θ − lr w(θ), with nothing remembered and no lr within w."""
    solver = experiment.get("solver")
    rule = name_of(solver.get("rule")) if isinstance(solver, Mapping) else None
    return _plain(solver) in _DESCENDING and rule in (None, "sgd")


def _plain(solver: Any) -> str:
    """The name without hyphens and capitals: a run put together in Python notes the class, which must be ours."""
    if isinstance(solver, Mapping) and not str(solver.get("class", "counterplay.")).startswith("counterplay."):
        return ""
    return (name_of(solver) or "").lower().replace("-", "")


def plain_step(experiment: Mapping[str, Any], players: Sequence[str]) -> float | None:
    """η where a step is θ − ηv with one η for all players and members, None elsewhere."""
    sizes = step_sizes(experiment, players)
    if sizes is None or _plain(experiment.get("solver")) != "simgd" or not descends(experiment):
        return None
    each = np.concatenate([s.ravel() for s in sizes.values()])
    return float(each[0]) if each[0] > 0 and (each == each[0]).all() else None
