"""A sound experiment, and experiments that each break one part of the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import counterplay as cp

GROWTH = cp.experiments.claim.near("growth", math.hypot(1, 0.3), 1e-9, "closed form")

ABOVE = cp.experiments.claim.above("growth", 1.0, "> 1")


@dataclass(frozen=True)
class SoundExperiment(cp.Experiment):
    """Simultaneous descent on xy leaves the equilibrium by the same factor in every step."""

    def claims(self) -> Sequence[cp.Claim]:
        return (cp.Claim("growth", "Descent diverges.", "Somebody 2024, eq. 1", (GROWTH,)),)

    def runs(self, scale: str) -> Mapping[str, Mapping[str, Any]]:
        steps = 5 if scale == "quick" else 50
        return {"played": {"game": "bilinear", "solver": {"name": "simgd", "lr": 0.3}, "steps": steps}}

    def compute(self, scale: str) -> Mapping[str, Any]:
        return {"steps": 5 if scale == "quick" else 50}

    def measure(self, logs: Any, computed: Any) -> Mapping[str, cp.experiments.claim.Measured]:
        size = self._size(logs)
        assert len(size) == computed["steps"] + 1
        return {"growth": cp.experiments.claim.exactly((size[-1] / size[0]) ** (1 / computed["steps"]))}

    def panels(self, logs: Any, computed: Any) -> Sequence[cp.experiments.panel.Panel]:
        panel = cp.experiments.panel
        path = panel.curve("simgd", logs["played"]["step/step"], self._size(logs))
        return [panel.Panel("growth", "step", "distance", (path,))]

    def _size(self, logs: Any) -> Any:
        return (logs["played"]["step/parameter_norms"] ** 2).sum(-1) ** 0.5


@dataclass(frozen=True)
class ClaimsNothing(SoundExperiment):
    def claims(self) -> Sequence[cp.Claim]:
        return (cp.Claim("growth", "Descent diverges.", "Somebody 2024, eq. 1", ()),)


@dataclass(frozen=True)
class NoSuchSolver(SoundExperiment):
    def runs(self, scale: str) -> Mapping[str, Mapping[str, Any]]:
        return {"played": {"game": "bilinear", "solver": "simdg"}}


@dataclass(frozen=True)
class Unsupported(SoundExperiment):
    """It needs what no machine has."""

    needs = ("the data set unicorns",)

    def claims(self) -> Sequence[cp.Claim]:
        return (cp.Claim("growth", "Descent diverges.", "Somebody 2024, eq. 1", (ABOVE,)),)

    def missing(self, device: str) -> str:
        return "it needs unicorns: give -o root=STABLE."


BROKEN_EXPERIMENTS = [
    (ClaimsNothing, "claims say what the paper says"),
    (NoSuchSolver, "its runs can be made"),
]
