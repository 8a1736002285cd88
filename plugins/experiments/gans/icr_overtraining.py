"""Implicit competitive regularization on MNIST: what joint play holds, the discriminator alone leaves at once.

From a checkpoint that is held by joint play, the discriminator is over-trained alone; then the generator strikes back
at it, at that of the checkpoint, and at one that was over-trained by competitive gradient descent.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 3 and 5, Fig. 4 and 8, A.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
TRAINED = {
    "overtrained": "D alone", "joint": "jointly", "overtrained-cgd": "D alone, by cgd", "joint-cgd": "jointly, by cgd",
}  # fmt: skip
STRUCK = {
    "strike-overtrained": "over-trained", "strike-checkpoint": "checkpoint", "strike-cgd": "over-trained by cgd",
    "strike-joint-cgd": "after joint cgd",
}  # fmt: skip
AT_THE_END = 0.1  # of a run, over which losses are averaged: batches are small
FEW = 0.05  # of a run: the "few iterations" of the generator
HELD = math.log(2)  # half of the loss 2 log 2 of a discriminator that cannot tell: below it there is no checkpoint


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
        "answer, and the generator stays; joint cgd from there is played, too. The drift is that of the logits. "
        "Seeds whose discriminator has won before the checkpoint (loss below log 2) do not count: the paper's has not. "
        "At paper scale the data are 5,000 images of MNIST by default."
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
                  (above("rise_overtrained", 0.0, "rapidly", "rise in 1/20 of a run, less that of the checkpoint's"),)),
            Claim("cgd", "Over-trained by cgd, it is even more robust than that of the checkpoint.", "ICR Fig. 8",
                  (below("rise_cgd", 0.0, "less", "rise in 1/20 of a run, less that of the checkpoint's"),)),
            Claim("joint-cgd", "After joint cgd from the checkpoint it is more robust than that of the checkpoint.",
                  "ICR Fig. 8, read in another way",
                  (below("rise_joint-cgd", 0.0, "less", "rise in 1/20 of a run, less that of the checkpoint's"),)),
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

        joint_cgd = {"name": "cgd", "lr": lr, "tol": 1e-3}
        cgd = {**joint_cgd, "hold": G}
        return {
            "checkpoint": run_of(0, None, plays(G, D), first, first),
            "overtrained": on("checkpoint", plays(D), 100, 10),
            "joint": on("checkpoint", plays(G, D), 100, 10),
            "overtrained-cgd": on("checkpoint", cgd, 100, 10),
            "joint-cgd": on("checkpoint", joint_cgd, 100, 10),
            "strike-overtrained": on("overtrained", plays(G), 200),
            "strike-checkpoint": on("checkpoint", plays(G), 200),
            "strike-cgd": on("overtrained-cgd", plays(G), 200),
            "strike-joint-cgd": on("joint-cgd", plays(G), 200),
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        moved = {name: drift_of(logs[name]) for name in ("overtrained", "joint")}
        return falls_and_rises(logs) | drifts(moved, held(logs))

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        moved, count = {name: drift_of(logs[name]) for name in TRAINED}, held(logs)

        def losses(names: Mapping[str, str]) -> tuple[Any, ...]:
            return tuple(
                curve(label, logs[n]["step/step"], smooth(discriminator_loss(logs[n])[:, count]).mean(1))
                for n, label in names.items()
            )

        drifted = [
            curve(f"{label}: {what}", moved[n].steps, getattr(moved[n], what)[:, count].mean(1))
            for n, label in TRAINED.items() for what in ("real", "fake")
        ]  # fmt: skip
        weights = [curve(label, moved[n].steps, moved[n].weights[:, count].mean(1)) for n, label in TRAINED.items()]
        return [
            Panel("Fig. 4: loss of the discriminator", "step after the checkpoint", "loss", losses(TRAINED)),
            Panel("Fig. 4: drift of its predictions", "step after the checkpoint", "distance", tuple(drifted)),
            Panel("A.3: drift of its weights", "step after the checkpoint", "distance", tuple(weights)),
            Panel("Fig. 8: its loss, the generator alone", "step", "loss", losses(STRUCK)),
        ]


def held(logs: Logs) -> NDArray[np.bool_]:
    """Which members have a checkpoint, (members,): the discriminator has not won before."""
    return np.asarray(at_the_end(logs["checkpoint"]) >= HELD)


def falls_and_rises(logs: Logs) -> dict[str, Measured]:
    """Losses of the discriminator, for each member that has a checkpoint.

    fall   the loss at the end over that of the checkpoint
    rise   by how much the loss rises in a few steps of the generator, less the same against the checkpoint
    """
    count = held(logs)
    first = at_the_end(logs["checkpoint"])
    falls = {f"fall_{name}": at_the_end(logs[name]) / first for name in ("overtrained", "joint")}
    against = _rise(logs["strike-checkpoint"])
    named = {"overtrained": "strike-overtrained", "cgd": "strike-cgd", "joint-cgd": "strike-joint-cgd"}
    rises = {f"rise_{name}": _rise(logs[run]) - against for name, run in named.items()}
    return {name: _over(x, count) for name, x in (falls | rises).items()}


def drifts(moved: Mapping[str, Drift], count: NDArray[np.bool_]) -> dict[str, Measured]:
    """How much farther the discriminator is at the end, alone over jointly, for each member that counts."""
    alone, joint = moved["overtrained"], moved["joint"]
    return {
        f"drift_{what}": _over(getattr(alone, what)[-1] / getattr(joint, what)[-1], count)
        for what in ("real", "fake", "weights")
    }


def _over(x: NDArray[np.float64], count: NDArray[np.bool_]) -> Measured:
    """The median over the members that count."""
    found = median(x[count])
    return replace(found, note=f"{found.note}; {count.sum()} of {len(count)} seeds have a checkpoint")


def discriminator_loss(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The loss of the discriminator, (steps, members)."""
    losses = log["step/losses"]
    return losses.reshape(len(losses), -1, losses.shape[-1])[..., 1]


def at_the_end(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean loss over the last tenth of a run, (members,)."""
    loss = discriminator_loss(log)
    return np.asarray(loss[-max(1, int(AT_THE_END * len(loss))) :].mean(0))


def _rise(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean loss over the first few steps less the loss before them, (members,)."""
    loss = discriminator_loss(log)
    return np.asarray(loss[1 : 1 + max(1, int(FEW * len(loss)))].mean(0) - loss[0])


def smooth(loss: NDArray[np.float64], over: int = 10) -> NDArray[np.float64]:
    """The running mean of each member over some steps."""
    kernel = np.ones(over) / over
    return np.stack([np.convolve(np.pad(x, (over - 1, 0), "edge"), kernel, "valid") for x in loss.T], axis=1)
