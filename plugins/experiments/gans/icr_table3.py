"""Eleven ways to train a GAN, by Adam or by ACGD, with and without a penalty: the rows, and what is measured on them.

Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 6, Table 3, Fig. 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Measured, above, below, exactly
from ....core.experiments.experiment import Logs
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve

Array = NDArray[np.float64]
BEST = "WGAN-NOREG+ACGD"
FAST, SATURATING = "WGAN-SN+Adam", "OGAN-NOREG+Adam, saturating"
SAME = {  # the same loss and penalty, by both: Fig. 9, fifth panel
    model: (f"{model}+ACGD", f"{model}+Adam") for model in ("OGAN-0.0001L2", "OGAN-NOREG", "WGAN-GP", "WGAN-0.001L2")
}
PENALTIES: dict[str, list[dict[str, Any]]] = {
    "NOREG": [], "SN": [{"name": "spectral-norm"}], "GP": [{"name": "gradient-penalty", "weight": 10.0}],
    **{f"{weight}L2": [{"name": "l2", "weight": float(weight)}] for weight in ("0.01", "0.001", "0.0001")},
}  # fmt: skip
ROWS = (
    "OGAN-0.0001L2+Adam", "OGAN-0.0001L2+ACGD", "OGAN-NOREG+Adam", "OGAN-NOREG+ACGD", "WGAN-GP+Adam", "WGAN-SN+Adam",
    "WGAN-NOREG+ACGD", "WGAN-GP+ACGD", "WGAN-0.01L2+Adam", "WGAN-0.001L2+Adam", "WGAN-0.001L2+ACGD", SATURATING,
)  # of Table 3, and one more, of which section 6 speaks  # fmt: skip
CLEARLY = 0.05  # of Adam's score: a difference that a curve shows
LAST = 4  # the last quarter of a run, over which scores are averaged


def run(row: str, game: Mapping[str, Any], lr: float) -> dict[str, Any]:
    """Game, solver and regularizers of a row; what they share stands in ``game``."""
    model, optimizer = row.split(", ")[0].split("+")
    loss, penalty = model.split("-", 1)
    by_acgd = optimizer == "ACGD"
    ogan = "saturating" if by_acgd or row == SATURATING else "non-saturating"
    solver: dict[str, Any] = {"name": "acgd", "lr": lr, "beta2": 0.99, "eps": 1e-5}
    if not by_acgd:
        solver = {"name": "simgd", "lr": lr, "rule": {"name": "adam", "betas": [0.5, 0.999]}}
    if row == "WGAN-GP+Adam":
        repeats = {"generator": 1, "discriminator": 5}
        solver = {"name": "altgd", "lr": lr, "rule": {"name": "adam", "betas": [0.5, 0.99]}, "repeats": repeats}
    return {
        "game": {**game, "loss": ogan if loss == "OGAN" else "wgan"}, "solver": solver,
        "regularizers": PENALTIES[penalty],
    }  # fmt: skip


def claims(source: str) -> tuple[Claim, ...]:
    """The findings (1) to (5) of section 6."""
    rest = "of all others"
    return (
        Claim("highest-score", "The Wasserstein loss without any penalty, trained by ACGD, has the highest inception "
              "score of all.", f"{source}, (1), Fig. 9",
              (above("lead_score", 0.0, "highest", f"its score less the highest {rest}, over the last quarter"),)),
        Claim("lowest-fid", "Its Fréchet inception distance is the lowest of all.", f"{source}, (2), Fig. 9",
              (above("lead_fid", 0.0, "lowest", f"the lowest distance {rest} less its own"),)),
        Claim("dearer", "Counting gradients and products it is significantly slower than Adam with spectral norm.",
              f"{source}, (3), Fig. 9",
              (above("cost_ratio", 2.0, "slower", "gradients and products a step, over those of Adam: twice as many"),
               below("at_equal_cost", 0.0, "behind", "its score less that of Adam, where both have cost the same"))),
        Claim("original-loss", "With the original loss, where ACGD is erratic, its score is still higher than Adam's.",
              f"{source}, (4), Fig. 9",
              tuple(above(f"gain_{model}", 0.0, "higher", "its score less Adam's, seed by seed")
                    for model in SAME if model.startswith("OGAN"))),
        Claim("saturating", "With the original saturating loss, as ACGD has it, Adam breaks down completely.",
              f"{source}, (4), Fig. 9",
              (below("left_saturating", 0.25, "breaks down", "a quarter of what ACGD's has above 1, the least"),)),
        Claim("hardly-worse", "Of the same model, ACGD's score is often clearly higher than Adam's over the steps, and "
              "hardly ever clearly lower.", f"{source}, (5), Fig. 9",
              (above("share_better", 1 / 3, "often", "a third of all looks; clearly is by 5 %"),
               below("share_worse", 0.1, "hardly ever", "a tenth of all looks"))),
    )  # fmt: skip


def measures(logs: Logs) -> dict[str, Measured]:
    """What the claims name."""
    scores = {row: figure(logs[row], "inception_score") for row in ROWS}
    ends = {row: at_the_end(x) for row, x in scores.items()}
    distances = {row: at_the_end(figure(logs[row], "fid")) for row in ROWS}
    others = [row for row in ROWS if row != BEST]
    better, worse = clearly(logs)
    return {
        "lead_score": median(ends[BEST] - np.max([ends[row] for row in others], axis=0)),
        "lead_fid": median(np.min([distances[row] for row in others], axis=0) - distances[BEST]),
        "cost_ratio": exactly(each_step(logs[BEST]) / each_step(logs[FAST])),
        "at_equal_cost": median(at_equal_cost(logs[BEST], logs[FAST])),
        **{f"gain_{model}": median(ends[acgd] - ends[adam]) for model, (acgd, adam) in SAME.items()},
        "left_saturating": median((ends[SATURATING] - 1) / (ends["OGAN-NOREG+ACGD"] - 1)),
        "share_better": exactly(better), "share_worse": exactly(worse),
    }  # fmt: skip


def figure(log: Mapping[str, NDArray[Any]], name: str) -> Array:
    """A figure of merit, (looks, members)."""
    found = log[f"metrics/{name}"]
    return np.asarray(found, dtype=float).reshape(len(found), -1)


def at_the_end(x: Array) -> Array:
    """The mean over the last quarter of the looks, (members,)."""
    return np.asarray(x[-max(1, len(x) // LAST) :].mean(0))


def cost(log: Mapping[str, NDArray[Any]]) -> Array:
    """Gradients and products up to each look, (looks,)."""
    spent = np.asarray(log["step/gradients"], dtype=float) + np.asarray(log["step/products"], dtype=float)
    return np.interp(log["metrics/step"], log["step/step"], spent)


def each_step(log: Mapping[str, NDArray[Any]]) -> float:
    """Gradients and products of a step, the mean over a run."""
    return float(cost(log)[-1] / log["metrics/step"][-1])


def at_equal_cost(dear: Mapping[str, NDArray[Any]], cheap: Mapping[str, NDArray[Any]]) -> Array:
    """The score of one run less that of another, (members,), each over the last quarter of the cost both have spent."""
    most = min(cost(dear)[-1], cost(cheap)[-1])
    at = np.linspace((1 - 1 / LAST) * most, most, 25)
    of = [
        np.stack([np.interp(at, cost(log), x) for x in figure(log, "inception_score").T]).mean(1)
        for log in (dear, cheap)
    ]
    return np.asarray(of[0] - of[1])


def clearly(logs: Logs) -> tuple[float, float]:
    """At which share of the looks, over all models, ACGD's mean score is clearly higher than Adam's, and lower."""
    ratios = np.concatenate([ratio(logs, model)[1][1:] for model in SAME])  # at the start all are alike
    return float((ratios > 1 + CLEARLY).mean()), float((ratios < 1 - CLEARLY).mean())


def ratio(logs: Logs, model: str) -> tuple[Array, Array]:
    """The mean score by ACGD over that by Adam, at the steps that both have reached: (looks,) each."""
    acgd, adam = (logs[row] for row in SAME[model])
    steps, a, b = np.intersect1d(acgd["metrics/step"], adam["metrics/step"], return_indices=True)
    means = [figure(log, "inception_score")[at].mean(1) for log, at in ((acgd, a), (adam, b))]
    return steps.astype(float), np.asarray(means[0] / means[1])


def panels(logs: Logs) -> Sequence[Panel]:
    """The panels of Fig. 9 that are curves."""

    def curves(name: str, x: Any) -> tuple[Any, ...]:
        return tuple(curve(row, x(logs[row]), figure(logs[row], name).mean(1)) for row in ROWS)

    def steps(log: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return log["metrics/step"]

    score = "inception score, mean over seeds"
    differences = tuple(curve(model, *ratio(logs, model)) for model in SAME)
    return [
        Panel("Fig. 9: score", "step", score, curves("inception_score", steps)),
        Panel("Fig. 9: score against cost", "gradients and products", score, curves("inception_score", cost), log="x"),
        Panel("Fig. 9: distance", "step", "FID, mean over seeds", curves("fid", steps), log="y"),
        Panel("Fig. 9: the same models", "step", "score by ACGD over that by Adam", differences, marks={"equal": 1.0}),
    ]
