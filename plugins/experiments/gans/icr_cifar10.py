"""Competitive gradient descent on CIFAR-10: eleven ways to train a GAN, by inception score and distance.

Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 6 and A.4, Table 3, Fig. 9 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ....core.errors import UsageError
from ....core.experiments.claim import Claim, Measured, near, not_run_here
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel
from ....core.options import option
from . import icr_table3 as table3

STEPS, EVERY = 468_600, 10_000  # 600 epochs in batches of 64, with a score after every 10,000 steps
SEEDS = 3
SAMPLES = 32_000  # 500 batches, as the authors' code takes
TENSORFLOW = "inception"


@dataclass(frozen=True)
class IcrCifar10(Experiment):
    """All rows of Table 3 with the paper's networks. It takes days on one GPU; there is no quick scale."""

    root: str = option("", "folder with cifar-10-binary.tar.gz, or the folder that is in it")
    extractor: str = option("classifier", "of the scores: classifier, trained on the data; or inception, the paper's")

    needs: ClassVar[tuple[str, ...]] = ("the data set cifar10", "a GPU")
    files: ClassVar[str] = "cifar-10-binary.tar.gz"
    notes: ClassVar[str] = (
        "The paper does not print how many steps are played: the authors' files are of up to 468,500. For WGAN-GP by "
        "Adam it refers to the settings of Gulrajani et al.; the authors' code has betas (.5, .99), which are played. "
        "Its interpolation draws normal numbers; ours, as printed, uniform ones. Table 3 gives WGAN-GP by ACGD five "
        "critic steps, but a step of ACGD moves both players at once: it takes one. One more row is the saturating "
        "loss by Adam, of which the text speaks. Three seeds are played, where the paper shows one run. Scores by the "
        "classifier are those of another network than the paper's, and only their order can be compared; "
        "-o extractor=inception takes the paper's, from its file."
    )

    def claims(self) -> Sequence[Claim]:
        """Section 6, and A.4.3."""
        tensorflow = near("over_penalty", 1.1, 0.05, "about 10 %: to within a half of it", "around 10 % higher")
        return (
            *table3.claims("ICR section 6"),
            Claim("tensorflow", "By TensorFlow's inception network, ACGD without a penalty is around 10 % above Adam "
                  "with the gradient penalty.", "ICR A.4.3, Fig. 12", (tensorflow,)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        if scale == "quick":
            raise UsageError("icr-cifar10 has no quick scale: it takes days on a GPU; give --scale paper.")
        counted = {"extractor": self.extractor, "samples": SAMPLES}
        game = {
            "name": "cifar10", "data": {"name": "cifar10", "root": self.root}, "batch": 64,
            "metrics": [{"name": "inception-score", "splits": 10, **counted}, {"name": "fid", **counted}],
        }  # fmt: skip
        often = {"steps": STEPS, "members": SEEDS, "every": 100, "sample_every": EVERY, "checkpoint_every": EVERY}
        return {row: table3.run(row, game, 1e-4) | often for row in table3.ROWS}

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        found = table3.measures(logs)
        if self.extractor != TENSORFLOW:
            return found | {"over_penalty": not_run_here("the score is TensorFlow's: give -o extractor=inception")}
        ends = [table3.at_the_end(table3.figure(logs[row], "inception_score")) for row in (table3.BEST, "WGAN-GP+Adam")]
        return found | {"over_penalty": median(ends[0] / ends[1])}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        return table3.panels(logs)
