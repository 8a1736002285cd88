"""CIFAR-10 with six pairs of networks and four methods: whether JARE asks less of the networks than the others.

The settings A to F are those of the paper's section 7 and appendix F.3, as in the code that its authors published. It
takes 24 runs of 500,000 steps, so it is played at the scale "paper" only, with CIFAR-10 and a GPU.
Nie and Patel (2020, arXiv 1806.09235), Fig. 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import UsageError
from ....core.experiments.claim import Claim, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, Series
from ....core.options import Count, option

ADAM = {"name": "adam", "betas": [0.5, 0.999]}
CONST = {"name": "dcgan4-const", "generator_slope": 0.0, "slope": 0.1, "latent": 128}
SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "A": ({"name": "sngan-cnn", "bn": True}, ADAM), "B": ({"name": "sngan-cnn", "bn": False}, ADAM),
    "C": (CONST, ADAM), "D": (CONST, "tf-rmsprop"),
    "E": ({"name": "resnet-v1"}, ADAM), "F": ({"name": "resnet-v2"}, ADAM),
}  # networks and step rule  # fmt: skip
METHODS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "gan": ({"name": "simgd"}, []), "sn": ({"name": "simgd"}, ["spectral-norm"]),
    "conopt": ({"name": "conopt", "gamma": 10.0}, []), "jare": ({"name": "jare", "gamma": 100.0}, []),
}  # solver and regularizers  # fmt: skip
WORDS = {"gan": "GAN", "sn": "SN-GAN", "conopt": "ConOpt", "jare": "JARE"}
OWN = {"sn": "A", "conopt": "D"}  # the setting that comes from the method's own paper
LAST = 10  # looks, 50,000 steps, over which a score is averaged
ALMOST, POOR = 0.95, 0.8  # of the best score of a setting: "almost the best", "poorly"


def solver_of(setting: str, method: str) -> dict[str, Any]:
    """The table of a solver, with the setting's step rule and step size 1e-4."""
    return {**METHODS[method][0], "lr": 1e-4, "rule": SETTINGS[setting][1]}


@dataclass(frozen=True)
class JareCifar10(Experiment):
    """Inception score and FID of four methods with six pairs of networks."""

    root: str = option("", "folder with cifar-10-binary.tar.gz, or the folder that is in it")
    extractor: str = option("inception", "of the scores: inception, the paper's, or classifier, trained on the data")
    members: Count = option(3, "seeds of each run; the paper has one")

    needs: ClassVar[tuple[str, ...]] = ("the data set cifar10", "a GPU")
    files: ClassVar[str] = "cifar-10-binary.tar.gz"
    notes: ClassVar[str] = (
        "Fig. 3 is a drawing without numbers, so only its order and its words can be compared. Setting D has "
        "TensorFlow's RMSProp, all others Adam with betas .5 and .999. Of three seeds, the interval is the whole range."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 3, and what section 7 says of it."""
        least = "worst of six settings, less that of the best other method"
        return (
            Claim("robust", "Over all settings, JARE's worst scores are better than those of every other method.",
                  "JARE Fig. 3", (above("least_score", 0.0, "more robust", f"inception score: {least}"),
                                  below("most_fid", 0.0, "more robust", f"FID: {least}"))),
            *(Claim(f"own-{method}", f"{WORDS[method]} is almost the best in its own architecture, and poor in others.",
                    "JARE section 7",
                    (above(f"own_{method}", ALMOST, "almost the best", f"score in {at} over the best there: 5 % off"),
                     below(f"elsewhere_{method}", POOR, "poorly", "in its worst other setting, a fifth off the best")))
              for method, at in OWN.items()),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        if scale == "quick":
            raise UsageError("jare-cifar10 has no quick scale: it takes days on a GPU; give --scale paper.")
        seen = {"extractor": self.extractor, "samples": 50_000}
        game = {"name": "cifar10", "data": {"name": "cifar10", "root": self.root}, "loss": "non-saturating",
                "metrics": [{"name": "inception-score", **seen}, {"name": "fid", **seen}]}  # fmt: skip
        return {
            f"{setting}-{method}": {
                "game": {**game, "network": networks}, "solver": solver_of(setting, method), "steps": 500_000,
                "regularizers": METHODS[method][1], "every": 1_000, "sample_every": 5_000,
                "members": self.members,
            } for setting, (networks, _) in SETTINGS.items() for method in METHODS
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        score, fid = (_ends(logs, figure) for figure in ("inception_score", "fid"))
        others, best = [m for m in METHODS if m != "jare"], np.max(list(score.values()), axis=0)
        at = {m: list(SETTINGS).index(own) for m, own in OWN.items()}
        share = {m: score[m] / best for m in OWN}
        found = {
            "least_score": score["jare"].min(0) - np.max([score[m].min(0) for m in others], axis=0),
            "most_fid": fid["jare"].max(0) - np.min([fid[m].max(0) for m in others], axis=0),
            **{f"own_{m}": share[m][at[m]] for m in OWN},
            **{f"elsewhere_{m}": np.delete(share[m], at[m], axis=0).min(0) for m in OWN},
        }
        return {name: median(x) for name, x in found.items()}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        figures = {"inception_score": "inception score", "fid": "FID"}
        return [
            by_setting(f"Fig. 3: {label}", label, {m: np.median(x, axis=1).tolist() for m, x in ends.items()})
            for figure, label in figures.items() for ends in (_ends(logs, figure),)
        ]  # fmt: skip


def _ends(logs: Logs, figure: str) -> dict[str, NDArray[np.float64]]:
    """A figure of each method in all settings, (6, members): the mean over the last looks."""

    def end(run: str) -> NDArray[np.float64]:
        found = logs[run][f"metrics/{figure}"]
        return np.asarray(found.reshape(len(found), -1)[-LAST:].mean(0))

    return {m: np.array([end(f"{s}-{m}") for s in SETTINGS]) for m in METHODS}


def by_setting(title: str, label: str, values: Mapping[str, Sequence[float]]) -> Panel:
    """A panel with the settings A to F along x, and a mark for each method."""
    at = list(range(len(SETTINGS)))
    series = tuple(Series(WORDS[m], at, values[m], "points") for m in values)
    return Panel(title, "setting", label, series, ticks=tuple(SETTINGS))
