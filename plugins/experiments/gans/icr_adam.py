"""Over-training the discriminator of a GAN that was trained by Adam: its loss falls, and it becomes brittle.

From a checkpoint the discriminator is trained alone; then the generator is trained alone against it.
Schäfer, Zheng and Anandkumar (2019, arXiv 1910.05852, the workshop version), section 2, Fig. 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve
from ....core.options import option
from .icr_overtraining import D, G, at_the_end, discriminator_loss, smooth

EPOCHS = (21, 11)  # after which there is a checkpoint
EPOCH = 469  # steps: 60,000 images in batches of 128
ALONE = 23_000  # steps of the discriminator alone, by the numbers of the authors' files
LR = 1e-4
FASTER = 10  # at quick scale steps are so many times longer, and as many times fewer
FEW = 100  # steps of the generator, a fifth of an epoch: the "few iterations" in which the loss is large
CANNOT_TELL = 2 * math.log(2)  # the loss of a discriminator that cannot tell


@dataclass(frozen=True)
class IcrAdam(Experiment):
    """Two checkpoints, the discriminator trained on from each, and the generator trained against it."""

    data: str = option("mnist-5k", "data set of images of 28x28, at paper scale: mnist-5k, mnist or fashion-mnist")

    gives_up: ClassVar[str] = (
        "8x8 digits of scikit-learn and networks of two hidden layers of 32 units instead of MNIST and convolutions; a "
        "tenth of the steps, each ten times as long, and batches of 64"
    )
    notes: ClassVar[str] = (
        "The paper prints no settings. Those of the authors' script are played: alternating steps by Adam with betas "
        "(.5, .999) and lr .0001, the non-saturating loss, batches of 128; the number of steps of the discriminator "
        "alone is that in the name of a file there. An epoch counts 469 steps whatever the data set. Adam begins "
        "anew at a checkpoint. At paper scale the data are 5,000 images of MNIST by default."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 2, for each of the two checkpoints."""
        return tuple(claim for n in EPOCHS for claim in self._after(n))

    def _after(self, n: int) -> tuple[Claim, ...]:
        source = "ICR workshop version, Fig. 2"
        return (
            Claim(f"overtrained-{n}", f"After {n} epochs the discriminator alone reaches a low loss.",
                  source, (below(f"fall_{n}", 0.25, "low", "its loss over that of the checkpoint: a quarter"),)),
            Claim(f"gradient-{n}", "Meanwhile the gradient of the generator grows.", source,
                  (above(f"gradient_{n}", 1.0, "increases", "its norm at the end over that at the checkpoint"),)),
            Claim(f"brittle-{n}", "When the generator is trained again, the loss of this discriminator is soon large.",
                  source, (above(f"struck_{n}", 1.0, "large",
                                 "its largest loss in 100 steps, over that of one that cannot tell"),)),
        )  # fmt: skip

    def game(self, scale: Scale) -> dict[str, Any]:
        """The table of the game."""
        if scale == "paper":
            return {"name": "mnist", "data": self.data, "loss": "non-saturating"}
        network = {"name": "mlp", "filters": 32, "latent": 16}
        return {"name": "images", "data": "digits", "network": network, "loss": "non-saturating", "batch": 64}

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        faster, members = (FASTER, 6) if scale == "quick" else (1, 3)

        def run(seed: int, steps: int, *who: str) -> dict[str, Any]:
            lr = {i: faster * LR if i in who else 0.0 for i in (G, D)}
            solver = {"name": "altgd", "lr": lr, "rule": {"name": "adam", "betas": [0.5, 0.999]}}
            return {"game": self.game(scale), "solver": solver, "steps": steps, "seed": seed, "members": members,
                    "sample_every": steps}  # fmt: skip

        found: dict[str, dict[str, Any]] = {}
        for n in EPOCHS:
            found[f"checkpoint_{n}"] = run(0, n * EPOCH // faster, G, D)
            found[f"alone_{n}"] = run(100, ALONE // faster, D) | {"after": f"checkpoint_{n}"}
            found[f"struck_{n}"] = run(200, 2 * FEW, G) | {"after": f"alone_{n}"}
        return found

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        found = {}
        for n in EPOCHS:
            before, alone, struck = (logs[f"{run}_{n}"] for run in ("checkpoint", "alone", "struck"))
            found[f"fall_{n}"] = median(at_the_end(alone) / at_the_end(before))
            found[f"gradient_{n}"] = median(end_of(gradient(alone)) / end_of(gradient(before)))
            found[f"struck_{n}"] = median(largest(struck) / CANNOT_TELL)
        return found

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        def lines(run: str, of: Any) -> tuple[Any, ...]:
            return tuple(
                curve(f"after {n} epochs", logs[f"{run}_{n}"]["step/step"], smooth(of(logs[f"{run}_{n}"])).mean(1))
                for n in EPOCHS
            )

        mark = {"cannot tell": CANNOT_TELL}
        step = "step of the discriminator alone"
        return [
            Panel("its loss, trained alone", step, "loss", lines("alone", discriminator_loss), marks=mark),
            Panel("gradient of the generator", step, "norm", lines("alone", gradient), log="y"),
            Panel("its loss, the generator trained again", "step of the generator alone", "loss",
                  lines("struck", discriminator_loss), marks=mark),
        ]  # fmt: skip


def gradient(log: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The norm of the generator's gradient, (steps, members)."""
    norms = log["step/gradient_norms"]
    return np.asarray(norms.reshape(len(norms), -1, norms.shape[-1])[..., 0])


def end_of(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last tenth of the steps, (members,)."""
    return np.asarray(x[-max(1, len(x) // 10) :].mean(0))


def largest(log: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The largest mean over ten steps of the discriminator's loss, in the first hundred steps, (members,)."""
    return np.asarray(smooth(discriminator_loss(log)[: FEW + 1]).max(0))
