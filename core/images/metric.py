"""Metrics of generated images: figures of merit of a generator, measured against the real images of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from .dataset import Images


@dataclass(frozen=True)
class GeneratedImages:
    """The images of a generator at one point, made batch by batch and never all at once.

    ``batches(count)`` yields ``count`` images in float batches (B, C, H, W) in [-1, 1], on the run's device, and with
    labels None or (B,). Every call begins with the same latent noise, so that two metrics see the same images.
    """

    batches: Callable[[int], Iterator[tuple[Tensor, Tensor | None]]]


class Metric(ABC):
    """A metric. A subclass is a frozen dataclass whose fields are its options, as samples or extractor."""

    kind = "metric"  # what an option of this type is said to be
    higher_is_better = False
    """Whether the first of its figures is higher for better images."""

    @property
    @abstractmethod
    def figures(self) -> tuple[str, ...]:
        """The names of the numbers that it gives, as ("fid",) or ("precision", "recall"): letters, digits and "_"."""

    @abstractmethod
    def measure(self, generated: GeneratedImages, real: Images) -> dict[str, float]:
        """Its figures by name. What it draws comes from generators of its own, so that figures can be repeated.

        A figure that cannot be computed at this point, as of images that are not finite, is NaN.

        Raises UsageError if it cannot be measured on this data set or without a file that it needs.
        """

    @abstractmethod
    def provenance(self, real: Images) -> Mapping[str, str | int | float]:
        """What a figure means nothing without, recorded beside it.

        At least ``extractor``, the network that sees the images ("pixels" if there is none), ``extractor_sha256``, the
        sum of its weights, and ``samples``, the number of generated images.
        """
