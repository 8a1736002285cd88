"""What an experiment says of its solver's steps: their sizes, and whether a step is descent along a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Solvers whose step is θ − lr w(θ) with a w that does not depend on lr. Lemma 4 (see `conditioning`) applies to them.
_DESCENDING = ("simgd", "conopt", "jare", "reggeneratoronly", "regdiscriminatoronly", "sga", "hamiltonian")


def name_of(value: Any) -> str | None:
    """Return the name in ``"simgd"`` or ``{"name": "simgd", …}``."""
    if isinstance(value, Mapping):
        value = value.get("name")
    return None if value is None else str(value)


def step_sizes(experiment: Mapping[str, Any], players: Sequence[str]) -> dict[str, NDArray[np.float64]] | None:
    """The learning rate of each player, () or (members,); None where the experiment does not give it in numbers."""
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
    """Whether a step is θ − lr w(θ), without memory and with a w that does not depend on lr."""
    solver = experiment.get("solver")
    rule = name_of(solver.get("rule")) if isinstance(solver, Mapping) else None
    return _bare_name(solver) in _DESCENDING and rule in (None, "sgd")


_ADAPTIVE = ("adam", "adamw", "rmsprop", "tf-rmsprop")  # rules that divide by the root of a second moment of v


def steps_change(policy: str, noise: Sequence[float] | None) -> bool:
    """Whether the same v makes another step later on, so that F' does not say where the steps lead.

    ``policy`` is `Solver.step_size_policy`. What an adaptive step is divided by keeps its size only where the ``noise``
    between batches keeps it up, that of each player its own.
    """
    return policy == "scheduled" or (policy == "adaptive" and noise is not None and 0 in noise)


def step_size_policy(run: Mapping[str, Any]) -> str:
    """The solver's `step_size_policy`, from run.json; of a run that did not record it, by the names of its parts."""
    if isinstance(recorded := run.get("step_size_policy"), str):
        return recorded
    solver = run.get("experiment", {}).get("solver")
    if not isinstance(solver, Mapping):
        return "fixed"
    if name_of(solver.get("schedule")) not in (None, "constant"):
        return "scheduled"
    return "adaptive" if name_of(solver.get("rule")) in _ADAPTIVE or _bare_name(solver) == "acgd" else "fixed"


def _bare_name(solver: Any) -> str:
    """The solver's name in lower case without hyphens; "" for a class from elsewhere that has the name of one of ours.

    A run that was built in Python records the class of its solver.
    """
    if isinstance(solver, Mapping) and not str(solver.get("class", "counterplay.")).startswith("counterplay."):
        return ""
    return (name_of(solver) or "").lower().replace("-", "")


def plain_step(experiment: Mapping[str, Any], players: Sequence[str]) -> float | None:
    """η if a step is θ − ηv with one η for all players and members, else None."""
    sizes = step_sizes(experiment, players)
    if sizes is None or _bare_name(experiment.get("solver")) != "simgd" or not descends(experiment):
        return None
    flat = np.concatenate([s.ravel() for s in sizes.values()])
    return float(flat[0]) if flat[0] > 0 and (flat == flat[0]).all() else None
