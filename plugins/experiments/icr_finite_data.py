"""A discriminator that picks out single points has as low a loss as it likes on any finite data set.

True data are from N(-1/2, 1), fake ones from N(1/2, 1), so that the share of true data among all at x is sigmoid(-x).
One discriminator is linear in x; another has a narrow bump for each point. Both are trained by descent on the
cross-entropy. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Fig. 1, an illustration without numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...core.derivatives.evaluator import Evaluator
from ...core.experiments.claim import Claim, Measured, above, below, exactly
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.intervals import mean
from ...core.experiments.panel import Panel, curve, points
from ...core.game.adapters import game_from_losses
from ...core.game.tree import Batch, Params
from ...core.registry.registry import make

MANY, FEW = 2_000, 40  # points of each kind
SETS = 20  # of few points, each from a seed of its own
STEPS = 600
CANNOT_TELL = 2 * math.log(2)  # the loss of a discriminator that cannot tell
NARROW = 1 / 3  # of the least distance between a true and a fake point: the width of a bump
APART = (1e-1, 1e-3, 1e-6)  # distances of two parallel lines, the supports of true and of fake data
STEEP = 40.0  # the slope across the gap between them, times its width


@dataclass(frozen=True)
class IcrFiniteData(Experiment):
    """Two discriminators of numbers, on a large data set and on twenty small ones, and on new data."""

    notes: ClassVar[str] = (
        "The figure is drawn by hand and has no numbers: distributions, sizes and discriminators are ours. The least "
        "loss on the distributions is 2 log 2 less twice their Jensen-Shannon divergence, by the trapezoidal rule."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 1 and its caption."""
        hundredth = "a hundredth of the loss of one that cannot tell"
        return (
            Claim("abundance", "A discriminator should give the relative abundance of true and fake data: one that "
                  "cannot pick out points does.", "ICR Fig. 1, left",
                  (below("off_abundance", 0.05, "reflects it", "the mean over both data of |D - sigmoid(-x)|"),)),
            Claim("finite", "One that picks out points reaches arbitrarily low loss on any finite data set.",
                  "ICR Fig. 1, right", (below("highest_loss", 0.01, "arbitrarily low", f"of 20 sets: {hundredth}"),)),
            Claim("new-data", "What it has learnt there says nothing of new data.", "after ICR Fig. 1",
                  (above("new_over_least", 1.0, "–", "its loss there over the least on the distributions"),)),
            Claim("misaligned", "Even with infinite data, the slightest misalignment of supports can be exploited.",
                  "ICR Fig. 1, caption",
                  (below("misaligned_loss", 0.01, "exploited", f"on lines 1e-1, 1e-3, 1e-6 apart: {hundredth}"),)),
        )  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        rng = torch.Generator().manual_seed(0)
        true, fake = drawn(rng, 1, MANY)
        linear = fitted(lambda x: torch.stack([torch.ones_like(x), x], dim=-1), true, fake)
        one = torch.ones(1, 1, dtype=torch.float64)
        both = torch.cat([true, fake], dim=1)
        off = (torch.sigmoid(linear(both)) - torch.sigmoid(-both)).abs().mean()

        true, fake = drawn(rng, SETS, FEW)
        centres = torch.cat([true, fake], dim=1)  # (sets, 2 few)
        width = NARROW * (true[:, :, None] - fake[:, None, :]).abs().amin((1, 2))

        def bumps(x: Tensor) -> Tensor:
            return torch.exp(-(((x[:, :, None] - centres[:, None, :]) / width[:, None, None]) ** 2) / 2)

        picking = fitted(bumps, true, fake)
        new = drawn(rng, SETS, MANY)
        shown = {"true": true[:1], "fake": fake[:1], "new": new[0][:1, :FEW]}
        return {
            "off": float(off), "slope": float(linear(one) - linear(0 * one)),
            "losses": [loss(*d) for d in zip(picking(true), picking(fake), strict=True)],
            "new": [loss(*d) for d in zip(*map(picking, new), strict=True)],
            "misaligned": [loss(*(STEEP / gap * side * gap / 2 * one[0] for side in (1, -1))) for gap in APART],
            "shown": {
                name: [x[0].tolist(), torch.sigmoid(picking(x.expand(SETS, -1)))[0].tolist()]
                for name, x in shown.items()
            },
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        return {
            "off_abundance": exactly(computed["off"]),
            "highest_loss": exactly(max(computed["losses"]) / CANNOT_TELL),
            "new_over_least": mean(np.asarray(computed["new"]) / least()),
            "misaligned_loss": exactly(max(computed["misaligned"]) / CANNOT_TELL),
        }

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        x = np.linspace(-3, 3, 61)
        share = curve("relative abundance", x, 1 / (1 + np.exp(x)), paper=True)
        smooth = curve("linear discriminator", x, 1 / (1 + np.exp(-computed["slope"] * x)))
        spikes = tuple(points(f"{name} data", *computed["shown"][name]) for name in ("true", "fake", "new"))
        confidence = "confidence that x is true"
        return [
            Panel("Fig. 1, left", "x", confidence, (share, smooth)),
            Panel("Fig. 1, right: a bump for each point", "x", confidence, spikes),
        ]


def drawn(rng: torch.Generator, sets: int, count: int) -> tuple[Tensor, Tensor]:
    """True and fake data, (sets, count) each."""
    true, fake = (torch.randn(sets, count, generator=rng, dtype=torch.float64) + shift for shift in (-0.5, 0.5))
    return true, fake


def loss(true: Tensor, fake: Tensor) -> float:
    """The discriminator's loss of its logits on true and on fake data."""
    return float(make("loss", "saturating")(true, fake)["discriminator"])


def fitted(features: Callable[[Tensor], Tensor], true: Tensor, fake: Tensor) -> Callable[[Tensor], Tensor]:
    """A discriminator, x (sets, n) to logits (sets, n), linear in features (sets, n, F), trained alone by descent.

    Every set has weights of its own.
    """
    made, seen = make("loss", "saturating"), (features(true), features(fake))

    def logits(w: Tensor, x: Tensor) -> Tensor:
        return (x @ w[:, :, None])[:, :, 0]

    def losses(params: Params, batch: Batch) -> dict[str, Tensor]:
        d = [logits(params["discriminator"]["w"], x).flatten() for x in seen]
        return {"discriminator": made(*d)["discriminator"]}

    sets, count = true.shape
    start = {"discriminator": {"w": torch.zeros(sets, seen[0].shape[-1], dtype=torch.float64)}}
    game = Evaluator(game_from_losses(losses, start), trace=True)
    lr = sets * (count if seen[0].shape[-1] > 2 else 1.0)  # the loss is a mean over all points of all sets
    solver = make("solver", {"name": "simgd", "lr": lr})
    params, memory = start, solver.init(game, start)
    for _ in range(STEPS):
        params, memory, _ = solver.step(game, params, memory, dict)
    w = params["discriminator"]["w"]
    return lambda x: logits(w, features(x))


def least() -> float:
    """The least loss on the distributions, -E log D - E log (1 - D) at D = sigmoid(-x)."""
    x = np.linspace(-12, 12, 4801)
    p, q = (np.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (-0.5, 0.5))
    terms = p * np.log1p(np.exp(x)) + q * np.log1p(np.exp(-x))
    return float(terms.sum() * (x[1] - x[0]))
