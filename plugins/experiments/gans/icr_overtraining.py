"""Implicit competitive regularization on MNIST: what joint play holds, the discriminator alone leaves at once.

From a checkpoint that is held by joint play, the discriminator is over-trained alone; then the generator strikes back
at it, at that of the checkpoint, and at one that was over-trained by competitive gradient descent.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 3 and 5, Fig. 4 and 8, A.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Expected, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve
from ....core.options import option
from .references import Drift, drift_of

G, D = "generator", "discriminator"
TRAINED = {"overtrained": "D alone", "joint": "jointly", "overtrained-cgd": "D alone, by cgd"}
STRUCK = {"strike-overtrained": "over-trained", "strike-checkpoint": "checkpoint", "strike-cgd": "over-trained by cgd"}
AT_BOTH_ENDS = 0.1  # of a run, over which losses are averaged: batches are small


@dataclass(frozen=True)
class IcrOvertraining(Experiment):
    """A checkpoint, three discriminators trained on from it, and the generator against each."""

    data: str = option("mnist-5k", "data set of images of 28x28, at paper scale: mnist-5k, mnist or fashion-mnist")

    gives_up: ClassVar[str] = (
        "8x8 digits of scikit-learn and networks of two hidden layers of 32 units instead of MNIST and convolutions; a "
        "checkpoint after 2,500 steps of .5 (generator) and .1 (discriminator), as equal ones do not hold so small "
        "networks, instead of 9,000 of .01; 400 steps from there"
    )
    notes: ClassVar[str] = (
        "A.3 trains by simultaneous descent with lr .01; Fig. 8 speaks of Adam. Over-training by cgd is not explained: "
        "here the discriminator takes its part of the Nash step, in which it reckons with a generator that could "
        "answer, and the generator stays. The drift is that of the logits. At paper scale the data are 5,000 images of "
        "MNIST by default."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 4 and 8."""
        return (
            Claim("overtrained", "From the checkpoint, the discriminator alone reaches a loss near 0.", "ICR Fig. 4",
                  (below("fall_overtrained", 0.25, "near zero", "its loss over that of the checkpoint: a quarter"),)),
            Claim("joint", "Trained jointly from there, its loss stays about as it was.", "ICR Fig. 4",
                  (Expected("fall_joint", 0.67, 1.5, "stable", "its loss over the checkpoint's: within a half"),)),
            Claim("drift", "Alone it moves away faster than jointly, in its predictions on 500 real and 500 generated "
                  "images and in its weights.", "ICR Fig. 4, A.3",
                  tuple(above(f"drift_{what}", 1.0, "faster", "alone over jointly, seed by seed")
                        for what in ("real", "fake", "weights"))),
            Claim("strikes-back", "Against the over-trained discriminator the generator makes its loss rise faster "
                  "than against that of the checkpoint.", "ICR Fig. 8",
                  (above("rise_overtrained", 1.0, "rapidly", "rise of the loss over that against the checkpoint's"),)),
            Claim("cgd", "Over-trained by cgd, it is even more robust than that of the checkpoint.", "ICR Fig. 8",
                  (below("rise_cgd", 1.0, "less", "rise of the loss over that against the checkpoint's"),)),
        )  # fmt: skip

    def game(self, scale: Scale) -> dict[str, Any]:
        """The table of the game."""
        if scale == "paper":
            return {"name": "mnist", "data": self.data}
        network = {"name": "mlp", "filters": 32, "latent": 16}
        return {"name": "images", "data": "digits", "network": network, "loss": "saturating", "batch": 64}

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        first, then, members = (2_500, 400, 6) if scale == "quick" else (9_000, 3_000, 3)
        lr = {G: 0.5, D: 0.1} if scale == "quick" else {G: 0.01, D: 0.01}

        def run_of(seed: int, after: str | None, solver: Mapping[str, Any], steps: int, every: int) -> dict[str, Any]:
            table = {"game": self.game(scale), "solver": solver, "steps": steps, "seed": seed, "members": members,
                     "checkpoint_every": every, "sample_every": steps}  # fmt: skip
            return table if after is None else table | {"after": after}

        def plays(*who: str) -> dict[str, Any]:
            return {"name": "simgd", "lr": {i: x if i in who else 0.0 for i, x in lr.items()}}

        def on(after: str, solver: Mapping[str, Any], seed: int, checkpoints: int = 1) -> dict[str, Any]:
            return run_of(seed, after, solver, then, then // checkpoints)

        cgd = {"name": "cgd", "lr": lr, "hold": G, "tol": 1e-3}
        return {
            "checkpoint": run_of(0, None, plays(G, D), first, first),
            "overtrained": on("checkpoint", plays(D), 100, 10),
            "joint": on("checkpoint", plays(G, D), 100, 10),
            "overtrained-cgd": on("checkpoint", cgd, 100, 10),
            "strike-overtrained": on("overtrained", plays(G), 200),
            "strike-checkpoint": on("checkpoint", plays(G), 200),
            "strike-cgd": on("overtrained-cgd", plays(G), 200),
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        return falls_and_rises(logs) | drifts({name: drift_of(logs[name]) for name in ("overtrained", "joint")})

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        moved = {name: drift_of(logs[name]) for name in TRAINED}

        def losses(names: Mapping[str, str]) -> tuple[Any, ...]:
            return tuple(
                curve(label, logs[n]["step/step"], _smooth(discriminator_loss(logs[n])).mean(1))
                for n, label in names.items()
            )

        drifted = [
            curve(f"{label}: {what}", moved[n].steps, getattr(moved[n], what).mean(1))
            for n, label in TRAINED.items() for what in ("real", "fake")
        ]  # fmt: skip
        weights = [curve(label, moved[n].steps, moved[n].weights.mean(1)) for n, label in TRAINED.items()]
        return [
            Panel("Fig. 4: loss of the discriminator", "step after the checkpoint", "loss", losses(TRAINED)),
            Panel("Fig. 4: drift of its predictions", "step after the checkpoint", "distance", tuple(drifted)),
            Panel("A.3: drift of its weights", "step after the checkpoint", "distance", tuple(weights)),
            Panel("Fig. 8: its loss, the generator alone", "step", "loss", losses(STRUCK)),
        ]


def falls_and_rises(logs: Logs) -> dict[str, Measured]:
    """Ratios of losses of the discriminator, for each member: at the end over the checkpoint's, and of two rises."""
    ends = {name: _ends(discriminator_loss(logs[name])) for name in (*TRAINED, *STRUCK)}
    rises = {name: ends[name][1] - ends[name][0] for name in STRUCK}
    against = rises["strike-checkpoint"]
    return {
        "fall_overtrained": median(ends["overtrained"][1] / ends["overtrained"][0]),
        "fall_joint": median(ends["joint"][1] / ends["joint"][0]),
        "rise_overtrained": median(rises["strike-overtrained"] / against),
        "rise_cgd": median(rises["strike-cgd"] / against),
    }


def drifts(moved: Mapping[str, Drift]) -> dict[str, Measured]:
    """How much farther the discriminator is at the end, alone over jointly, for each member."""
    alone, joint = moved["overtrained"], moved["joint"]
    return {
        f"drift_{what}": median(getattr(alone, what)[-1] / getattr(joint, what)[-1])
        for what in ("real", "fake", "weights")
    }


def discriminator_loss(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The loss of the discriminator, (steps, members)."""
    losses = log["step/losses"]
    return losses.reshape(len(losses), -1, losses.shape[-1])[..., 1]


def _ends(loss: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean over the first and over the last tenth of a run, (members,) each."""
    n = max(1, int(AT_BOTH_ENDS * len(loss)))
    return loss[:n].mean(0), loss[-n:].mean(0)


def _smooth(loss: NDArray[np.float64], over: int = 10) -> NDArray[np.float64]:
    """The running mean of each member over some steps."""
    kernel = np.ones(over) / over
    return np.stack([np.convolve(np.pad(x, (over - 1, 0), "edge"), kernel, "valid") for x in loss.T], axis=1)
