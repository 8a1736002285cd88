"""The bilinear game alpha xy of the paper on competitive gradient descent, with eta = .2 and gamma = 1.

The radius of F' in closed form, with q = eta alpha: simgd sqrt(1 + q^2), lcgd |1 - q^2 + iq|, conopt and sga
|1 - q^2 / eta + iq|, cgd 1 / sqrt(1 + q^2); that of ogda is the largest root of mu^2 - (1 - 2iq) mu - iq = 0.
Schäfer and Anandkumar (2019, arXiv 1905.12103), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from ...core.experiments.claim import Claim, Expected, Measured, above, below, exactly, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.panel import Panel, curve
from .at_point import Matrix, radius, update_map

ETA = 0.2
ALPHAS = (1.0, 3.0, 6.0)
PLAYED, STEPS = 3.0, 50  # with this alpha two methods are played; the others follow from F', as the game is linear
METHODS: dict[str, dict[str, Any]] = {
    "simgd": {}, "lcgd": {}, "sga": {"strength": 1.0}, "conopt": {"gamma": 1.0}, "ogda": {}, "cgd": {},
}  # fmt: skip
EXACT = "closed form; exact but for rounding"
EDGE = 1e-9  # from 1: whether it converges is decided by more than rounding


def closed_form(method: str, alpha: float) -> float:
    """The radius of F', derived."""
    q = ETA * alpha
    squared = 1 - q * q / ETA
    return {
        "simgd": math.hypot(1, q), "lcgd": math.hypot(1 - q * q, q), "sga": math.hypot(squared, q),
        "conopt": math.hypot(squared, q), "cgd": 1 / math.hypot(1, q),
        "ogda": max(abs(complex(z)) for z in np.roots([1, -(1 - 2j * q), -1j * q])),
    }[method]  # fmt: skip


def _name(method: str, alpha: float) -> str:
    return f"{method}_{alpha:g}"


@dataclass(frozen=True)
class CgdBilinear(Experiment):
    """Six methods at three strengths of the interaction: the radius of F', and 50 steps."""

    notes: ClassVar[str] = (
        "The paper draws 50 iterations and prints no rates: the closed forms are derived here. Simultaneous descent is "
        "its GDA. Implicit Euler, which is not in the paper, equals cgd on this game."
    )

    def claims(self) -> Sequence[Claim]:
        """What its figure shows, and the radii behind it."""

        def exact(*methods: str) -> tuple[Expected, ...]:
            return tuple(
                near(_name(m, a), closed_form(m, a), 1e-9, EXACT, f"{m} {closed_form(m, a):.4f}")
                for m in methods for a in ALPHAS
            )  # fmt: skip

        def sides(alpha: float, converge: Sequence[str], diverge: Sequence[str]) -> tuple[Expected, ...]:
            return (
                *(below(_name(m, alpha), 1 - EDGE, f"{m} converges") for m in converge),
                *(above(_name(m, alpha), 1 + EDGE, f"{m} diverges") for m in diverge),
            )

        others = [m for m in METHODS if m != "cgd"]
        return (
            Claim("weak", "With alpha 1 all methods but simultaneous descent converge.", "CGD section 4, figure, left",
                  sides(1.0, [m for m in METHODS if m != "simgd"], ["simgd"])),
            Claim("middle", "With alpha 3 sga and conopt oscillate without coming nearer, and ogda diverges.",
                  "CGD section 4, figure, middle",
                  (*(near(_name(m, 3.0), 1.0, EDGE, EXACT, f"{m} oscillates: 1") for m in ("sga", "conopt")),
                   *sides(3.0, ["cgd"], ["ogda"]))),
            Claim("strong", "With alpha 6 all methods diverge but cgd.", "CGD section 4, figure, right",
                  sides(6.0, ["cgd"], others)),
            Claim("faster", "A stronger interaction makes cgd converge faster, not slower.", "CGD section 4",
                  (below("cgd_gain", -EDGE, "radius falls with alpha"),)),
            Claim("radii", "The radius of F' is that of the closed form for every method.", "derived",
                  exact(*METHODS)),
            Claim("played", "Played with alpha 3, cgd and simgd change by that factor in each step.", "derived",
                  tuple(near(f"played_{m}", closed_form(m, PLAYED), 1e-9, EXACT, f"{m} {closed_form(m, PLAYED):.4f}")
                        for m in ("cgd", "simgd"))),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        return {
            m: {"game": {"name": "bilinear", "alpha": PLAYED}, "solver": {"name": m, "lr": ETA}, "steps": STEPS}
            for m in ("cgd", "simgd")
        }

    def compute(self, scale: Scale) -> Computed:
        maps = {
            _name(m, a): update_map({"name": "bilinear", "alpha": a}, {"name": m, "lr": ETA, **options})
            for m, options in METHODS.items() for a in ALPHAS
        }  # fmt: skip
        return {"radii": {name: radius(F) for name, F in maps.items()},
                "paths": {name: _distances(F) for name, F in maps.items()}}  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        radii = computed["radii"]
        found = {name: exactly(rho) for name, rho in radii.items()}
        found["cgd_gain"] = exactly(max(b - a for a, b in pairwise([radii[_name("cgd", a)] for a in ALPHAS])))
        for m, log in logs.items():  # rotations by one angle and one factor: each step has the same
            size = np.hypot.reduce(log["step/parameter_norms"], axis=-1)
            factor = size[1:] / size[:-1]
            found[f"played_{m}"] = Measured(
                float(np.median(factor)), float(factor.min()), float(factor.max()), f"the range over {STEPS} steps"
            )
        return found

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        return [
            Panel(
                f"alpha = {a:g}", "step", "distance from the equilibrium",
                tuple(curve(m, range(STEPS + 1), computed["paths"][_name(m, a)]) for m in METHODS), log="y",
            )
            for a in ALPHAS
        ]  # fmt: skip


def _distances(F: Matrix) -> list[float]:
    """The distance from the equilibrium at each step from (1, 1), by powers of F', since the game is linear."""
    state, found = np.zeros(len(F)), []
    state[:2] = 1.0
    for _ in range(STEPS + 1):
        found.append(float(np.hypot(*state[:2])))
        state = F @ state
    return found
