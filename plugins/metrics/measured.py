"""What metrics that look at features of images have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.images.dataset import Images, to_pixels
from ...core.images.metric import GeneratedImages, Metric
from ...core.options import Count, option
from . import classifier
from .extractor import Extractor
from .extractors import extractor_of

BLOCK = 250  # real images whose features are computed at once
KEPT = 4  # results about real images that are kept in memory

T = TypeVar("T")


class NotFinite(Exception):
    """A generated image, or a feature of one, is not finite."""


class Tally(Protocol):
    """What a metric keeps of generated images, whose features come block by block."""

    def add(self, features: Tensor, logits: Tensor | None) -> None:
        """Take a block of features (B, d) and, where there are any, logits (B, K), on the CPU."""


@dataclass(frozen=True)
class SeenReal:
    """The real images, seen through an extractor on one device."""

    real: Images
    extractor: Extractor
    device: torch.device

    def of_real(self, what: str, compute: Callable[[Iterator[Tensor]], T], chosen: Tensor | None = None) -> T:
        """``compute(blocks)`` of the features of the real images, or of those ``chosen``; once in a process.

        ``what`` is its name among the results that are kept.
        """
        key = (what, self.real.digest, self.extractor.sha256, self.device)
        if key not in _kept:
            pixels = self.real.pixels if chosen is None else self.real.pixels[chosen]
            _kept[key] = compute(self._of_real(pixels))
            while len(_kept) > KEPT:
                del _kept[next(iter(_kept))]
        found: T = _kept[key]
        return found

    def _of_real(self, pixels: Tensor) -> Iterator[Tensor]:
        for block in pixels.split(BLOCK):
            features, _ = self.extractor(block.to(self.device))
            if not bool(features.isfinite().all()):
                raise UsageError("the extractor gives numbers that are not finite for real images: choose another one.")
            yield features


_kept: dict[Any, Any] = {}


def _finite(x: Tensor) -> Tensor:
    if not bool(x.isfinite().all()):
        raise NotFinite
    return x


@dataclass(frozen=True)
class FeatureMetric(Metric):
    """A metric of the features of images.

    Generated images are rounded to 8 bits, as the real ones are. If any is not finite, all figures are NaN.
    """

    samples: Count = option(10_000, "how many images are generated")
    extractor: str = option(
        "classifier", "classifier, trained on the data, which needs classes; inception; or the file of a network"
    )

    @abstractmethod
    def tally(self) -> Any:
        """A `Tally` of no images yet."""

    @abstractmethod
    def figures_of(self, tally: Any, seen: SeenReal) -> dict[str, float]:
        """The figures, from the tally of all ``samples`` generated images, and the real ones."""

    def require(self, classes: Sequence[str]) -> None:
        if self.extractor == classifier.NAME and len(classes) < 2:
            raise classifier.without_classes()

    def same_pass(self) -> Hashable:
        return "features", self.extractor, self.samples

    def measure(self, generated: GeneratedImages, real: Images) -> dict[str, float]:
        return self.measure_together([self], generated, real)[0]

    def measure_together(
        self, metrics: Sequence[FeatureMetric], generated: GeneratedImages, real: Images
    ) -> list[dict[str, float]]:
        """Images are generated once, and their features computed once, block by block."""
        extractor, tallies, left = extractor_of(self.extractor, real), [m.tally() for m in metrics], self.samples
        with torch.no_grad():
            blocks = iter(generated.batches(self.samples))
            first = next(blocks, None)
            device = torch.device("cpu") if first is None else first[0].device
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                try:
                    for images, _ in chain(() if first is None else (first,), blocks):
                        features, logits = extractor(to_pixels(_finite(images)))
                        features, logits = _finite(features).cpu(), None if logits is None else _finite(logits).cpu()
                        for tally in tallies:
                            tally.add(features, logits)
                        left -= len(images)
                except NotFinite:
                    return [dict.fromkeys(m.figures, math.nan) for m in metrics]
                if left:
                    raise UsageError(
                        f"the game generated {self.samples - left} images for a metric, where {self.samples} were "
                        "asked for."
                    )
                seen = SeenReal(real, extractor, device)
                return [m.figures_of(tally, seen) for m, tally in zip(metrics, tallies, strict=True)]

    def real_samples(self, real: Images) -> int:
        """How many real images are seen."""
        return len(real)

    def provenance(self, real: Images) -> Mapping[str, str | int | float]:
        extractor = extractor_of(self.extractor, real)
        facts = {"extractor": extractor.name, "extractor_sha256": extractor.sha256, **extractor.facts}
        return {**facts, "samples": self.samples, "real_samples": self.real_samples(real), "data_sha256": real.digest}
