"""What metrics that look at features of images have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.images.dataset import Images, to_pixels
from ...core.images.metric import GeneratedImages, Metric
from ...core.options import Count, option
from .extractor import Extractor, Outputs
from .extractors import extractor_of

BLOCK = 250  # real images whose features are computed at once
KEPT = 4  # results about real images that are kept in memory

T = TypeVar("T")


class NotFinite(Exception):
    """A generated image, or a feature of one, is not finite."""


@dataclass(frozen=True)
class Seen:
    """Generated and real images, seen through an extractor on one device."""

    generated: GeneratedImages
    real: Images
    extractor: Extractor
    device: torch.device

    def outputs(self, count: int) -> Iterator[Outputs]:
        """The outputs for ``count`` generated images, block by block. Raises NotFinite."""
        left = count
        for images, _ in self.generated.batches(count):
            features, logits = self.extractor(to_pixels(_finite(images)))
            yield _finite(features), None if logits is None else _finite(logits)
            left -= len(images)
        if left:
            raise UsageError(f"the game generated {count - left} images for a metric, where {count} were asked for.")

    def features(self, count: int) -> Iterator[Tensor]:
        """The features (B, d) of ``count`` generated images, block by block. Raises NotFinite."""
        return (features for features, _ in self.outputs(count))

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
    extractor: str = option("classifier", "classifier, trained on the data; inception; or the file of a network")

    @abstractmethod
    def figures_of(self, seen: Seen) -> dict[str, float]:
        """The figures. Raises NotFinite, which makes them all NaN."""

    def measure(self, generated: GeneratedImages, real: Images) -> dict[str, float]:
        extractor = extractor_of(self.extractor, real)
        with torch.no_grad():
            device = next(iter(generated.batches(1)))[0].device
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                try:
                    return self.figures_of(Seen(generated, real, extractor, device))
                except NotFinite:
                    return dict.fromkeys(self.figures, math.nan)

    def real_samples(self, real: Images) -> int:
        """How many real images are seen."""
        return len(real)

    def provenance(self, real: Images) -> Mapping[str, str | int | float]:
        extractor = extractor_of(self.extractor, real)
        facts = {"extractor": extractor.name, "extractor_sha256": extractor.sha256, **extractor.facts}
        return {**facts, "samples": self.samples, "real_samples": self.real_samples(real), "data_sha256": real.digest}
