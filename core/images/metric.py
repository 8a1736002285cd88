"""Metrics of generated images: figures of merit of a generator, measured against the real images of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .dataset import Dataset, Images


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

    def require(self, classes: Sequence[str]) -> None:
        """Raise UsageError where it cannot be measured on images of these classes: asked before the images are read."""

    @abstractmethod
    def measure(self, generated: GeneratedImages, real: Images) -> dict[str, float]:
        """Its figures by name. What it draws comes from generators of its own, so that figures can be repeated.

        A figure that cannot be computed at this point, as of images that are not finite, is NaN.

        Raises UsageError if it cannot be measured on this data set or without a file that it needs.
        """

    def same_pass(self) -> Hashable:
        """Metrics of which this is equal are measured together, by :meth:`measure_together` of the first one.

        By default each metric is measured alone.
        """
        return id(self)

    def measure_together(
        self, metrics: Sequence[Any], generated: GeneratedImages, real: Images
    ) -> list[dict[str, float]]:
        """The figures of each of ``metrics``, of the same pass through the images, itself among them."""
        return [metric.measure(generated, real) for metric in metrics]

    @abstractmethod
    def provenance(self, real: Images) -> Mapping[str, str | int | float]:
        """What a figure means nothing without, recorded beside it.

        At least ``extractor``, the network that sees the images ("pixels" if there is none), ``extractor_sha256``, the
        sum of its weights ("" without a network), and ``samples``, the number of generated images.
        """


def require_measurable(metrics: Sequence[Metric], data: Dataset) -> None:
    """Raise UsageError for a metric that cannot be measured on ``data``, as far as is known before they are read."""
    if metrics and (classes := data.known_classes()) is not None:
        for metric in metrics:
            metric.require(classes)


def measured(metrics: Sequence[Metric], generated: GeneratedImages, real: Images) -> dict[str, float]:
    """The figures of all ``metrics`` by name, in their order, in as few passes through the images as they allow."""
    passes: dict[Hashable, list[Metric]] = {}
    for metric in metrics:
        passes.setdefault(metric.same_pass(), []).append(metric)
    found = dict[str, float]()
    for together in passes.values():
        for figures in together[0].measure_together(together, generated, real):
            found |= figures
    return {name: found[name] for metric in metrics for name in metric.figures if name in found} | found
