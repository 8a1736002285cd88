"""A GAN of handwritten digits: the 1,797 images of 8x8 pixels that come with scikit-learn, so nothing is downloaded.

Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", UCI machine learning repository. It is small
enough to generate digits after some minutes on the processor of a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.game.tree import Batch, Params
from ...core.options import Count, option
from ...core.registry.registry import make, settings
from ..data.digit_classifier import classify, fitted
from .images import ImageGame

JUDGED = 512  # images, so that the shares of the digits are accurate


@dataclass(frozen=True)
class Digits(ImageGame):
    """The game `images` of digits, with what a small classifier of real digits says of the generated ones."""

    latent: Count | None = option(None, "dimension of the noise z, by default the network's: network.latent")
    hidden: Count | None = option(None, "another name of network.filters")

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = {"latent": self.latent, "filters": self.hidden}
        if given := {name: value for name, value in asked.items() if value is not None}:
            object.__setattr__(self, "network", make("network", {**settings(self.network), **given}))

    @property
    def metric_axes(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return {**super().metric_axes, "digit_share": ("digit",)}

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """What the classifier says, and the figures of all metrics.

        ``digit_score``: exp E KL(p(digit | image) || p(digit)), between 1 and 10, which is the inception score of
        Salimans et al. (2016, arXiv 1606.03498) with this classifier. ``confidence``: the mean probability of the most
        probable digit. ``digit_share``: how often each digit is the most probable one, (10,).
        """
        images = torch.cat([x for x, _ in self.generated_images(params, batch).batches(JUDGED)])
        return {**_judged(images), **super().metrics(params, batch)}


def _judged(images: Tensor) -> dict[str, Tensor]:
    """What the classifier says of images (B, 1, 8, 8) in [-1, 1]."""
    p = classify(fitted(), images)  # (B, 10)
    marginal = p.mean(0)
    divergence = (p * (p.clamp_min(1e-12).log() - marginal.clamp_min(1e-12).log())).sum(1)
    share = torch.nn.functional.one_hot(p.argmax(1), 10).to(p.dtype).mean(0)
    return {"digit_score": divergence.mean().exp(), "confidence": p.amax(1).mean(), "digit_share": share}
