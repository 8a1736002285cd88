"""What opponent shaping does in two games: it is arrogant in the tandem game, and cooperates in the prisoner's dilemma.

Tandem: every point with x + y = 1 is a fixed point, where the losses add up to 0. First-order lola that expects steps
of alpha from the other ends at x + y = s = (1 - 2 alpha)/(1 - 4 alpha) > 1, where they add up to 2s(s - 1).
Letcher et al. (2019, arXiv 1811.08469), section 5 and Fig. 3; Foerster et al. (2018, arXiv 1709.04326).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.experiments.claim import Claim, Measured, above, below, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.intervals import mean
from ...core.experiments.panel import Panel, curve

ALPHA = 0.1
ARROGANT = (1 - 2 * ALPHA) / (1 - 4 * ALPHA)
TANDEM_GAME, ENOUGH = "Letcher et al. 2019, section 5, tandem", "100 steps are enough"
TANDEM = ("la", "lola", "sos")
DILEMMA = ("simgd", "la", "lola", "sos")


@dataclass(frozen=True)
class OpponentShaping(Experiment):
    """The tandem game and the iterated prisoner's dilemma from 50 starts each."""

    notes: ClassVar[str] = (
        "In the prisoner's dilemma all step sizes are 1, also those that players expect of each other; in the tandem "
        "game they are .1. The starts are standard normal, as in our games. A payoff is of one round: -1 "
        "if both cooperate, -2 if both defect."
    )

    def claims(self) -> Sequence[Claim]:
        """Arrogance and cooperation."""
        over = 2 * ARROGANT * (ARROGANT - 1)
        return (
            Claim("arrogance", "In the tandem game lola ends where both lose.", TANDEM_GAME,
                  (above("tandem_lola", 0.01, "loses"),
                   near("tandem_lola", over, 1e-3, f"derived; {ENOUGH}", f"{over:.4f} at α = {ALPHA:g}"))),
            Claim("humility", "There lookahead and sos end at fixed points of descent, where the losses add up to 0.",
                  TANDEM_GAME, tuple(near(f"tandem_{m}", 0.0, 1e-3, ENOUGH, f"{m} 0") for m in ("la", "sos"))),
            Claim("defection", "In the prisoner's dilemma descent and lookahead end in defection.",
                  "Letcher et al. 2019, Fig. 3",
                  tuple(below(f"dilemma_{m}", -1.75, f"{m}: about -2", "nearer to -2 than halfway to cooperating half "
                              "of the time") for m in ("simgd", "la"))),
            Claim("cooperation", "There lola and sos cooperate most of the time.", "Letcher et al. 2019, Fig. 3",
                  tuple(above(f"dilemma_{m}", -1.25, f"{m}: about -1", "nearer to -1 than halfway to defecting half of "
                              "the time") for m in ("lola", "sos"))),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        shared = {"members": 50, "trace": True}
        dilemma = {"game": {"name": "iterated-prisoners-dilemma"}, "steps": 200, "every": 200, "sample_every": 4}
        return {
            **{f"tandem {m}": {"game": "tandem", "solver": {"name": m, "lr": ALPHA, "opponent_lr": ALPHA}, "steps": 100,
                               "every": 4, **shared} for m in TANDEM},
            **{f"dilemma {m}": {**dilemma, "solver": {"name": m, "lr": 1.0}, **shared} for m in DILEMMA},
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        tandem = {f"tandem_{m}": mean(logs[f"tandem {m}"]["step/losses"][-1].sum(-1)) for m in TANDEM}
        return tandem | {f"dilemma_{m}": mean(_payoff(logs[f"dilemma {m}"])[-1]) for m in DILEMMA}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        tandem = [
            curve(m, (log := logs[f"tandem {m}"])["step/step"], log["step/losses"].sum(-1).mean(1)) for m in TANDEM
        ]
        dilemma = [
            curve(m, (log := logs[f"dilemma {m}"])["metrics/step"], _payoff(log).mean(1)) for m in DILEMMA
        ]  # fmt: skip
        return [
            Panel("tandem", "step", "sum of both losses, mean", tuple(tandem), marks={"lola, derived": 2 * ARROGANT
                                                                                      * (ARROGANT - 1)}),
            Panel("iterated prisoner's dilemma", "step", "payoff of a round, mean", tuple(dilemma)),
        ]  # fmt: skip


def _payoff(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean payoff of both players in a round, (rows, members)."""
    found: NDArray[np.float64] = (log["metrics/payoff_x"] + log["metrics/payoff_y"]) / 2
    return found
