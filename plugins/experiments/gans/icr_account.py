"""What holds a checkpoint of a GAN jointly that the discriminator alone would leave: an account by eigenvalues.

The paper shows that it happens, and argues with a quadratic game. Here are the spectra at such a checkpoint: of J, of
the discriminator's own block J_DD, and of the update map F'. A step of the discriminator alone multiplies its
directions by 1 - eta_D lambda(J_DD), a joint step all directions by the eigenvalues of F'.
After Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, points, spectrum
from .icr_overtraining import held

LR = {"generator": 0.5, "discriminator": 0.1}
Log = Mapping[str, NDArray[Any]]
ZERO = 1e-6  # of the largest modulus: smaller eigenvalues belong to units that are off, or are rounding


@dataclass(frozen=True)
class IcrAccount(Experiment):
    """Dense spectra at the checkpoints of several seeds, with a network so narrow that all eigenvalues are found."""

    gives_up: ClassVar[str] = "6 seeds instead of 16"
    notes: ClassVar[str] = (
        "No paper has this account. The network has two hidden layers of 6 units and plays 8x8 digits. A checkpoint is "
        "no equilibrium: the spectra say how nearby points move against each other, not where the loss goes."
    )

    def claims(self) -> Sequence[Claim]:
        """What ICR says of a quadratic game, asked of a checkpoint."""
        return (
            Claim("own-block", "At the checkpoint there are directions in which the discriminator's loss curves down: "
                  "alone, it leaves the point.", "after ICR section 3",
                  (above("negative_own", 1.0, "unstable alone", "eigenvalues of J_DD with negative real part"),
                   above("radius_alone", 1 + 1e-6, "> 1", "the largest |1 - eta_D lambda|"))),
            Claim("joint", "The joint step contracts all directions.", "after ICR section 4, eq. 5",
                  (below("radius_joint", 1.0, "< 1", "the largest modulus of F', on one batch"),)),
            Claim("held", "Joint play expands less than the discriminator alone.", "after ICR section 4",
                  (below("joint_over_alone", 1 - 1e-9, "< 1", "(radius of F' - 1) / (that of D alone - 1)"),)),
            Claim("rotation", "The eigenvalues that lead turn: they come from the mixed blocks.", "after ICR section 4",
                  (above("rotating", 0.5, "mixed term", "|Im| / |lambda| of the leading eigenvalues of F' less 1"),)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        network = {"name": "mlp", "filters": 6, "latent": 6}
        game = {"name": "images", "data": "digits", "network": network, "loss": "saturating", "batch": 64}
        members = 6 if scale == "quick" else 16
        table = {"game": game, "solver": {"name": "simgd", "lr": LR}, "members": members}
        return {
            "checkpoint": {**table, "steps": 2_500, "every": 10, "sample_every": 2_500},
            "spectra": {**table, "steps": 0, "spectrum_every": 1, "after": "checkpoint"},
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        count = held(logs)  # the other seeds have no checkpoint: their discriminator has won
        found = {name: x[count] for name, x in account(logs["spectra"]).items()}
        excess = (found["radius_joint"] - 1) / (found["radius_alone"] - 1)
        figures = {name: median(x) for name, x in found.items()}
        joint = figures["radius_joint"]
        figures["radius_joint"] = Measured(joint.value, joint.low, joint.high, sentence(found))
        return figures | {"joint_over_alone": median(excess)}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        log = logs["spectra"]
        count = held(logs)
        J, own, F = (x[count][0] for x in spectra(log))
        t = np.linspace(0, 2 * np.pi, 200)
        circle = points("unit circle", np.cos(t), np.sin(t))
        words = sentence({name: x[count] for name, x in account(log).items()})
        alone = spectrum("D alone: 1 - η λ(J_DD)", 1 - LR["discriminator"] * own)
        return [
            Panel(words, "real part", "imaginary part", (spectrum("J", J), spectrum("J_DD", own))),
            Panel("one step", "real part", "imaginary part", (circle, spectrum("F', jointly", F), alone), square=True),
        ]


def spectra(log: Log) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The eigenvalues at the last recorded point: of J, of the discriminator's block and of F', (members, n) each."""
    J, blocks, F = (log[f"spectrum/{name}"][-1] for name in ("eigenvalues", "block_eigenvalues", "update_eigenvalues"))
    own = blocks[..., 1, :]
    return tuple(x.reshape(-1, x.shape[-1]) for x in (J, own, F))


def account(log: Log) -> dict[str, NDArray[np.float64]]:
    """What the spectra say, (members,) each. NaN pads spectra of different length."""
    J, own, F = spectra(log)
    size = np.nanmax(np.abs(own), axis=1, keepdims=True)
    far = np.array([f[np.nanargmax(np.abs(f))] - 1 for f in F])
    return {
        "negative_own": (own.real < -ZERO * size).sum(1).astype(float),
        "lowest_own": np.nanmin(own.real, axis=1),
        "negative_J": (J.real < -ZERO * np.nanmax(np.abs(J), axis=1, keepdims=True)).sum(1).astype(float),
        "radius_alone": np.nanmax(np.abs(1 - LR["discriminator"] * own), axis=1),
        "radius_joint": np.nanmax(np.abs(F), axis=1),
        "rotating": np.abs(far.imag) / np.maximum(np.abs(far), 1e-300),
    }


def sentence(found: Mapping[str, NDArray[np.float64]]) -> str:
    """The account in words, with the medians over members."""
    x = {name: float(np.median(values)) for name, values in found.items()}
    alone, joint = x["radius_alone"] - 1, x["radius_joint"] - 1
    held = "which holds it" if joint <= 0 else "which is less" if joint < alone else "which is no less"
    return (
        f"J_DD has {x['negative_own']:.0f} eigenvalues below 0, the lowest {x['lowest_own']:.2g}: D alone expands by "
        f"{alone:.2g} a step;\nJ has {x['negative_J']:.0f}, and a joint step expands by {joint:.2g}, {held}; "
        f"its leading eigenvalue turns by |Im|/|λ| = {x['rotating']:.2g}"
    )
