"""A cell of a sweep: one experiment with every option written out, named by what it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..registry.experiment import Table


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    experiment  the table that ``counterplay run --dry-run`` prints for it: all options, without ``out``
    settings    what distinguishes it: axis -> value, as {"solver": "cgd", "solver.lr": 0.1, "seed": 3}
    """

    experiment: Table
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """The sha256 sum of the experiment, in hexadecimal digits: the name of its run directory."""
        text = json.dumps(self.experiment, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def setting_of(experiment: Mapping[str, Any], axis: str) -> Any:
    """The value of an axis, as ``solver.lr`` or ``seed``, in an experiment: a thing's name; None if it has none."""
    keys = ["game", *axis.split(".")] if axis.split(".")[0] == "loss" else axis.split(".")  # a loss is in its game
    found: Any = experiment
    for key in keys:
        if isinstance(found, list):  # of regularizers
            found = next((x for x in found if isinstance(x, Mapping) and x.get("name") == key), None)
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found["name"] if isinstance(found, Mapping) and "name" in found else found
