"""Image GANs of The numerics of GANs: architectures and divergences under three methods.

Consensus optimization is said to keep both losses almost constant, and to train what others do not: architectures
without batch normalisation, the Jensen-Shannon and the indicator divergence. "To train" is measured here: by how much
of the way from untrained to real images the inception score has come.
Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Fig. 3a and 4 to 6, with the settings of the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Measured, above, below, not_run_here
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median, paired_difference
from ....core.experiments.panel import Panel, Series, curve
from ....core.options import option

METHODS: dict[str, dict[str, Any]] = {"simgd": {}, "altgd": {}, "conopt": {"gamma": 10.0}}
ARCHITECTURES = {
    "dcgan": ("dcgan4", "non-saturating"), "no-bn": ("dcgan4-nobn", "non-saturating"),
    "standard": ("dcgan4-const", "non-saturating"), "js": ("dcgan4-const", "saturating"),
}  # Fig. 5: networks and loss  # fmt: skip
WORDS = {
    "no-bn": "DCGAN without batch normalisation", "standard": "the standard objective",
    "js": "the Jensen-Shannon divergence", "indicator": "the indicator divergence",
}  # fmt: skip
SMALL = ("standard-simgd", "standard-altgd", "standard-conopt", "js-conopt", "indicator-conopt")  # at quick scale
REAL = {"inception_score": 11.24, "digit_score": 9.67}  # of the real images
WAY = 1 / 3  # a third of the way from untrained to real images
TRAINED = "share of the way from the score of untrained images to that of real ones: a third"
LATE = slice(-5, None)  # looks over which a score is averaged
CALM, WILD = 0.03, 3.0  # half an order about 1e-2; half an order more
ONLY_PAPER = "DCGAN is too large for images of 8x8: it is played with --scale paper only"


def rms_run(game: Mapping[str, Any], method: str, lr: float, steps: int, looks: int, **more: Any) -> dict[str, Any]:
    """The table of a run with TensorFlow's RMSProp."""
    solver = {"name": method, "lr": lr, "rule": "tf-rmsprop", **METHODS[method]}
    return {"game": game, "solver": solver, "steps": steps, "every": max(1, steps // 1_000),
            "sample_every": steps // looks, **more}  # fmt: skip


@dataclass(frozen=True)
class NumImages(Experiment):
    """Four architectures and a divergence with three methods, on CIFAR-10 or, at quick scale, on digits."""

    root: str = option("cifar10", "at paper scale: folder with CIFAR-10's binary version, cifar-10-binary.tar.gz")
    extractor: str = option("inception", "at paper scale: inception, classifier, or the file of a network")

    gives_up: ClassVar[str] = (
        "8x8 digits of scikit-learn instead of CIFAR-10, and fully connected networks of two layers of 64 units "
        "instead of DCGAN, which is too large for them; 1,000 steps of 1e-3 instead of 150,000 of 1e-4; the score is "
        "that of a classifier of digits. Fig. 4 compares conopt without and altgd with batch normalisation; here "
        "neither has it"
    )
    notes: ClassVar[str] = (
        "Fig. 3, 5 and 6 are samples without numbers; a run counts as trained here if its score has come a third of "
        "the way from that of untrained to that of real images. The paper does not print gamma for images: the code "
        "has 10. Its RMSProp is TensorFlow's. At paper scale there are three seeds, the paper has one."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 4 to 6."""
        trains = [
            Claim(f"trains-{name}", f"Consensus optimization trains: {WORDS[name]}.", f"NUM Fig. {figure}",
                  (above(f"way_{name}", WAY, "trains", TRAINED),))
            for name, figure in (("no-bn", "3a, 5"), ("standard", "5, 6a"), ("js", "5, 6b"), ("indicator", "6c"))
        ]  # fmt: skip
        return (
            Claim("calm", "Under consensus optimization both losses are almost constant.", "NUM Fig. 4a, b",
                  (below("wave_conopt", CALM, "of the order of 1e-2", "deviation in the second half: at most 3e-2"),)),
            Claim("wild", "Under alternating descent they fluctuate highly.", "NUM Fig. 4a, b",
                  (above("wave_altgd_over_conopt", WILD, "highly", "half an order more than under conopt"),)),
            Claim("score", "Consensus optimization ends slightly better than alternating descent.", "NUM Fig. 4c",
                  (above("score_over_altgd", 0.0, "slightly better", "difference of the scores, seed by seed"),)),
            *trains,
            Claim("struggles", "It struggles with the original DCGAN, with batch normalisation.", "NUM Fig. 5",
                  (below("way_dcgan", WAY, "struggles", TRAINED),)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        rows = {f"{name}-{m}": (name, m) for name in ARCHITECTURES for m in METHODS}
        rows["indicator-conopt"] = ("indicator", "conopt")
        if scale == "quick":
            how: dict[str, Any] = {"lr": 1e-3, "steps": 1_000, "looks": 20, "members": 6}
            return {run: rms_run(_digits(rows[run][0]), rows[run][1], **how) for run in SMALL}
        how = {"lr": 1e-4, "steps": 150_000, "looks": 150, "members": 3}
        return {run: rms_run(self._cifar10(name), m, **how) for run, (name, m) in rows.items()}

    def _cifar10(self, name: str) -> dict[str, Any]:
        networks, loss = ARCHITECTURES.get(name, ("dcgan4-const", name))
        metrics = [{"name": "inception-score", "extractor": self.extractor, "samples": 6_400}]
        return {"name": "cifar10", "data": {"name": "cifar10", "root": self.root}, "network": {"name": networks},
                "loss": loss, "metrics": metrics}  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        calm, wild = _fourth(logs)
        ways = {name: median(way(logs[f"{name}-conopt"])) if f"{name}-conopt" in logs else not_run_here(ONLY_PAPER)
                for name in ("dcgan", *WORDS)}  # fmt: skip
        return {
            "wave_conopt": median(wave(logs[calm])),
            "wave_altgd_over_conopt": median(wave(logs[wild]) / wave(logs[calm])),
            "score_over_altgd": paired_difference(_end(logs[wild]), _end(logs[calm])),
        } | {f"way_{name}": found for name, found in ways.items()}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        runs = _fourth(logs)
        late = [
            curve(f"{run}: {player}", logs[run]["step/step"], losses_of(logs[run])[:, 0, i])
            for run in runs for i, player in enumerate(("generator", "discriminator"))
        ]  # fmt: skip
        scores = [curve(run, logs[run]["metrics/step"], score(logs[run]).mean(1)) for run in runs]
        return [
            Panel("Fig. 4a, b: losses of one seed", "step", "loss", tuple(late)),
            Panel("Fig. 4c: score, mean over seeds", "step", "score", tuple(scores)),
            bars("Fig. 5, 6: the way to real images", {run: median(way(log)) for run, log in logs.items()}),
        ]


def _digits(name: str) -> dict[str, Any]:
    """The game of digits with small networks."""
    _, loss = ARCHITECTURES.get(name, ("", name))
    network = {"name": "mlp", "filters": 64, "latent": 16}
    return {"name": "digits", "network": network, "loss": loss, "batch": 64}


def _fourth(logs: Iterable[str]) -> tuple[str, str]:
    """The runs of Fig. 4: consensus optimization without, and alternating descent with batch normalisation."""
    return ("no-bn-conopt", "dcgan-altgd") if "dcgan-altgd" in logs else ("standard-conopt", "standard-altgd")


def losses_of(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The losses (rows, members, 2) of generator and discriminator."""
    losses = log["step/losses"]
    return losses.reshape(len(losses), -1, losses.shape[-1])


def wave(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The standard deviation of a loss over the second half of a run, (members,): the larger one of both players'."""
    losses = losses_of(log)
    return np.asarray(losses[len(losses) // 2 :].std(axis=0).max(-1))


def score(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The score at each look, (looks, members)."""
    found = log[f"metrics/{_score_of(log)}"]
    return found.reshape(len(found), -1)


def way(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The share of the way from the score of untrained to that of real images, (members,)."""
    first = score(log)[0]
    return np.asarray((_end(log) - first) / (REAL[_score_of(log)] - first))


def _score_of(log: Mapping[str, Any]) -> str:
    return next(name for name in REAL if f"metrics/{name}" in log)


def _end(log: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(score(log)[LATE].mean(axis=0))


def bars(title: str, found: Mapping[str, Measured]) -> Panel:
    """A panel with one bar for each name."""
    value, low, high = ([getattr(x, end) for x in found.values()] for end in ("value", "low", "high"))
    series = Series("share", list(range(len(found))), value, "bars", low, high)
    return Panel(title, "", "share", (series,), marks={"trained": WAY}, ticks=tuple(found))
