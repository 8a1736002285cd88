"""A game whose metrics are written down beforehand: they tell when a run must end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

import counterplay as cp

NAN = float("nan")


@dataclass(frozen=True)
class Scripted(cp.Game):
    """x grows by lr at each step of simgd. The metric ``score`` is the number that the script has at place x."""

    script: tuple[float, ...]
    asked: list[int] = field(default_factory=list, compare=False)  # the places at which it was measured
    players = ("x",)

    def init(self, rng: torch.Generator) -> cp.Params:
        return {"x": {"k": torch.zeros(1, dtype=torch.float64)}}

    def losses(self, params: cp.Params, batch: cp.Batch) -> dict[str, torch.Tensor]:
        return {"x": -params["x"]["k"].sum()}

    def metrics(self, params: cp.Params, batch: cp.Batch) -> dict[str, Any]:
        place = round(params["x"]["k"].item())
        self.asked.append(place)
        return {"score": self.script[place], "place.of_x": place, "pair": torch.zeros(2)}


STEP = cp.make("solver", "simgd", lr=1.0)  # one place at each step
