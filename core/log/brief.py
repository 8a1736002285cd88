"""A run in brief: its last losses, norms, costs and metrics, and what it took to bring the norm of v below a bound.

Thousands of runs are compared by this: of a finished log the file is opened once, and of its variables those that are
compared are walked (`safety`) and read, no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5s
from h5py.h5ds import is_scale

from .hdf5 import attributes_checked, file_length, opened
from .safety import Parts, check_open, strings

COSTS = ("step", "gradients", "products", "samples", "solver_seconds", "wall_seconds")
_LARGEST = 1 << 28  # numbers of a column that is read
_STEP = [name.encode() for name in ("player", "losses", "gradient_norms", *COSTS)]
PARTS: Parts = {"": [b"step", b"metrics"], "/step": _STEP, "/metrics": None}
Brief = dict[str, Any]


def brief(path: Path | str, below: float, given: BinaryIO | None = None) -> Brief:
    """The file at ``path`` in brief; see `brief_of`. Raises BadLog where it is no log."""
    with opened(path, given, walk=False) as file:
        found = check_open(file, path, PARTS)
        attributes_checked(file, path, ("format", "format_version"))
        players = strings(h5py.Dataset(found["step/player"])) if "step/player" in found else ()
        named = {key.removeprefix("metrics/"): x for key, x in found.items() if key.startswith("metrics/")}
        metrics = [name for name, x in named.items() if "/" not in name and not is_scale(x)]
        if metrics:
            file_length(file["metrics"])
        return brief_of(lambda key: _numbers(key, found.get(key)), players, metrics, below)


def _numbers(key: str, data: Any) -> np.ndarray | None:
    """The numbers of an open dataset; None if there are none, or far too many. h5py's own way takes twice as long."""
    if data is None or math.prod(data.shape) > _LARGEST:
        return None
    found = np.empty(data.shape, data.dtype)
    if found.dtype.kind not in "iufc":
        raise TypeError(f"/{key} holds no numbers")
    if found.size:
        data.read(h5s.ALL, h5s.ALL, found)
    return found


def brief_of(
    read: Callable[[str], np.ndarray | None], players: Sequence[str], metrics: Iterable[str], below: float
) -> Brief:
    """What is compared of a run, as JSON values; of members the median, and of numbers that are not finite None.

    losses, gradient_norms  by player, at the last step
    gradient_norm           of all players, at the last step
    costs                   at the last step: ``step``, ``gradients``, ``products``, ``samples`` and seconds
    reached                 the costs at the first recorded step with a norm below ``below``, None if there is none; in
                            an ensemble, with the median of the members' norms below it
    metrics                 the last value of each metric of one number
    """
    costs = {name: x for name in COSTS if (x := read(f"step/{name}")) is not None and len(x)}
    norms, losses = read("step/gradient_norms"), read("step/losses")
    found: Brief = {"losses": {}, "gradient_norms": {}, "gradient_norm": None, "reached": None}
    for key, values in (("losses", losses), ("gradient_norms", norms)):
        if values is not None and len(values) and values.shape[-1] == len(players):
            last = _median(values[-1].reshape(-1, len(players)))
            found[key] = {p: _number(x) for p, x in zip(players, last, strict=True)}
    if norms is not None and len(norms):
        with np.errstate(over="ignore", invalid="ignore"):
            joint = _median(np.hypot.reduce(norms, axis=-1).reshape(len(norms), -1).T)
        found["gradient_norm"] = _number(joint[-1])
        first = np.flatnonzero(joint < below)
        if len(first) and "step" in costs:
            found["reached"] = {name: _number(x[first[0]]) for name, x in costs.items()}
    found["costs"] = {name: _number(x[-1]) for name, x in costs.items()}
    found["metrics"] = {}
    for name in metrics:
        values = read(f"metrics/{name}")
        if name != "step" and values is not None and values.ndim in (1, 2) and values.dtype.kind in "iuf":
            by_row = values.reshape(len(values), -1)
            seen = by_row[np.isfinite(by_row.astype(float)).any(axis=1)]
            if len(seen):
                found["metrics"][name] = _number(_median(seen[-1][:, None])[0])
    return found


def _median(values: np.ndarray) -> np.ndarray:
    """The median (n,) over the first axis; NaN where more than half of the values are not finite."""
    if len(values) == 1:
        return np.asarray(values[0])
    return np.asarray(np.median(np.where(np.isfinite(values), values, np.inf), axis=0))


def _number(x: Any) -> int | float | None:
    value = x.item()
    return value if isinstance(value, int) or np.isfinite(value) else None
