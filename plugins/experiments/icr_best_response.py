"""Three kinds of play in a game without an equilibrium: what the players know decides whether they stay.

    min_x max_y  -exp(x^2) - alpha xy + exp(y^2), from (0, 2), each player moving by at most 1 a round

Schäfer, Zheng and Anandkumar (2019, workshop version of arXiv 1910.05852), section 2 and Fig. 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.experiments.claim import Claim, Measured, above, below, exactly, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.panel import Panel, curve

ROUNDS = {"full": 20, "local": 20, "aware": 100}


@dataclass(frozen=True)
class IcrBestResponse(Experiment):
    """Full information, local information, and local information with awareness of the opponent."""

    notes: ClassVar[str] = (
        "The paper says only that alpha is large; ours is 1e16, the smallest power of ten with which both players turn "
        "back once under local information. Beyond |y| = 9, exp(y^2) is so large that in float64 x's own part of the "
        "loss is lost in rounding, and x stops."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 1, panel by panel."""
        return (
            Claim("full", "With full information each moves away as fast as it can.", "ICR-w Fig. 1, first panel",
                  (near("full_turns", 0, 0.5, "a count", "no turn"),
                   near("full_far", 20, 1e-9, "both move by 1 in each of 20 rounds", "20 in 20 rounds"))),
            Claim("local", "With local information the players oscillate, and in the end diverge.",
                  "ICR-w Fig. 1, second panel",
                  (above("local_turns", 1, "oscillate", "the turns of the player that turns less"),
                   above("local_far", 10, "diverge", "the farther player after 20 rounds; it began at 2"))),
            Claim("aware", "Aware of the opponent, they stay.", "ICR-w Fig. 1, third panel",
                  (below("aware_far", 2 + 1e-9, "stable", "the largest distance over 100 rounds; it began at 2"),)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        return {
            name: {"game": "exponential", "solver": {"name": "best-response", "information": name}, "steps": rounds}
            for name, rounds in ROUNDS.items()
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        path = {name: log["step/parameters"] for name, log in logs.items()}  # (rounds + 1, 2)
        moved = np.abs(path["full"][-1] - path["full"][0]).min()
        return {
            "full_turns": exactly(_turns(path["full"]).max()), "full_far": exactly(moved),
            "local_turns": exactly(_turns(path["local"]).min()), "local_far": exactly(np.abs(path["local"][-1]).max()),
            "aware_far": exactly(np.abs(path["aware"]).max()),
        }  # fmt: skip

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        titles = {"full": "full information", "local": "local information", "aware": "local, aware of the opponent"}
        return [
            Panel(titles[name], "round", "strategy",
                  tuple(curve(i, log["step/step"], log["step/parameters"][:, n]) for n, i in enumerate("xy")))
            for name, log in logs.items()
        ]  # fmt: skip


def _turns(path: NDArray[np.float64]) -> NDArray[np.intp]:
    """How often each player turns back: changes of sign of its moves, rounds in which it stays left out."""
    found = []
    for moves in np.diff(path, axis=0).T:
        signs = np.sign(moves[moves != 0])
        found.append(np.count_nonzero(np.diff(signs)))
    return np.array(found)
