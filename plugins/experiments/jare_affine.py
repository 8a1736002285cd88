"""The affine Gaussian GAN, played: what its spectrum says is what the players do.

Across the data's mean the eigenvalues of simultaneous descent are .01 +- .4999i, so it turns once in 12.6 units of time
(step size times steps) and is damped by .01. Along the mean the slowest eigenvalue of conopt with gamma 10 is .0404612,
that of jare is .52. Nie and Patel (2020, arXiv 1806.09235), section 7.1 and Fig. 1: mu 4, variance .04, batch 128,
step size 1e-3, 15,000 steps, start within .05 of the equilibrium.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.experiments.claim import Claim, Expected, Measured, above, below, exactly, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.intervals import mean
from ...core.experiments.panel import Panel, curve

METHODS: dict[str, dict[str, float]] = {"simgd": {}, "conopt": {"gamma": 10.0}, "jare": {"gamma": 10.0}}
LR, STEPS, EVERY = 1e-3, 15_000, 10
TURN = 12_570  # steps of one turn of simultaneous descent, to the nearest that is recorded
QUICK = {"simgd": (1e-2, 1_500), "conopt": (2e-3, 2_000), "jare": (1e-2, 1_500)}  # conopt's largest step is .0030
FIT = "2 %: a line through two points of an orbit that is not quite straight or round"


@dataclass(frozen=True)
class JareAffine(Experiment):
    """Fig. 1 in exact expectation, with the paper's step size, and from samples."""

    gives_up: ClassVar[str] = (
        "from samples, 4 starts, and step sizes .01 for 1,500 steps (conopt: .002 for 2,000), not .001 for 15,000"
    )
    notes: ClassVar[str] = (
        "The paper starts within .05 of the equilibrium, its code at .05 in each coordinate; ours are drawn from the "
        "ball. Each of the other numbers is the paper's."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 1, in words and in the rates behind it."""
        return (
            Claim("oscillates", "Simultaneous descent turns about the equilibrium, weakly damped.", "JARE Fig. 1, left",
                  (near("frequency", 0.4999, 1e-3, FIT, "λ .01 ± .4999i"),
                   near("damping", 0.01 - LR * 0.4999**2 / 2, 2e-4, FIT, "damped by .0099 a unit of time"))),
            Claim("slowed", "Consensus optimization stops the turning, and slows the generator.", "JARE Fig. 1, middle",
                  (near("rate_conopt", 0.0404612, 0.001, FIT, "slowest λ .0405"),)),
            Claim("converges", "Jacobian regularization converges in both players.", "JARE Fig. 1, right",
                  (near("rate_jare", 0.52, 0.01, FIT, "slowest λ .52"),)),
            Claim("sampled-oscillates", "From samples, too, simultaneous descent keeps turning.", "JARE Fig. 1",
                  (Expected("left_simgd", 0.6, 1.0, "weakly damped", "the distance in the last tenth over the first"),
                   above("swing_simgd", 3.0, "turns", "of each player's distance, largest over smallest"))),
            Claim("sampled-slowed", "From samples, conopt's generator has hardly moved when jare has converged.",
                  "JARE Fig. 1, middle and right",
                  (above("left_conopt", 0.5, "slow", "the generator's distance along the mean, last tenth over first"),
                   below("left_jare", 0.25, "converged", "the same of both players with jare"))),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        def run(method: str, exact: bool, lr: float, steps: int, **more: Any) -> dict[str, Any]:
            game = {"name": "affine-gaussian", "exact": exact, **({"nodes": 6} if exact else {})}
            solver = {"name": method, "lr": lr, **METHODS[method]}
            return {"game": game, "solver": solver, "steps": steps, "every": EVERY, "trace": True, **more}

        sampled = QUICK if scale == "quick" else dict.fromkeys(METHODS, (LR, STEPS))
        members = 4 if scale == "quick" else 20
        return {
            **{f"exact {m}": run(m, True, LR, STEPS) for m in METHODS},
            **{f"sampled {m}": run(m, False, *sampled[m], members=members) for m in METHODS},
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        generator, discriminator = _players(logs["exact simgd"])
        across = np.stack([generator[:, 0, 0], discriminator[:, 0, 0]], axis=1)  # (rows, 2)
        turned = np.unwrap(np.arctan2(across[:, 1], across[:, 0]))
        size, turn = np.linalg.norm(across, axis=1), TURN // EVERY
        found = {
            "frequency": exactly(abs(turned[-1] - turned[0]) / (STEPS * LR)),
            "damping": exactly(math.log(size[0] / size[turn]) / (turn * EVERY * LR)),
        }
        for name in ("conopt", "jare"):
            along = np.abs(_players(logs[f"exact {name}"])[0][:, 0, 1])
            a, b = 5_000 // EVERY, 10_000 // EVERY
            found[f"rate_{name}"] = exactly(math.log(along[a] / along[b]) / ((b - a) * EVERY * LR))
        both = {m: np.concatenate(_players(logs[f"sampled {m}"]), axis=-1) for m in METHODS}  # (rows, members, 4)
        found["left_simgd"] = mean(_left(np.linalg.norm(both["simgd"], axis=-1)))
        found["left_jare"] = mean(_left(np.linalg.norm(both["jare"], axis=-1)))
        found["left_conopt"] = mean(_left(np.abs(both["conopt"][..., 1])))
        found["swing_simgd"] = mean(_swing(both["simgd"]))
        return found

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        panels = []
        for name, log in logs.items():
            series = [
                curve(player, log["step/step"], np.linalg.norm(x[:, 0], axis=-1))
                for player, x in zip(("generator", "discriminator"), _players(log), strict=True)
            ]
            panels.append(Panel(name, "step", "distance from the equilibrium", tuple(series)))
        return panels


def _players(log: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Generator and discriminator less their equilibrium, (rows, members, 2) each: across the mean, and along it."""
    theta = log["step/parameters"]
    theta = theta.reshape(len(theta), -1, 4)
    return theta[..., :2] - np.array([0.0, 4.0]), theta[..., 2:]


def _left(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of a distance (rows, members): its mean over the last tenth of the rows, over that of the first."""
    tenth = max(1, len(size) // 10)
    found: NDArray[np.float64] = size[-tenth:].mean(0) / size[:tenth].mean(0)
    return found


def _swing(both: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest over smallest distance across the mean in the last half of the rows, of the player that swings less."""
    last = np.abs(both[len(both) // 2 :][..., [0, 2]])  # (rows, members, player)
    found: NDArray[np.float64] = (last.max(0) / last.min(0)).min(-1)
    return found
