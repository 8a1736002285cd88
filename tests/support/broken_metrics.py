"""A sound metric, and metrics that each break one part of the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

import counterplay as cp


@dataclass(frozen=True)
class SoundMetric(cp.Metric):
    """How far the mean image is from the mean real one."""

    samples: cp.Count = cp.option(100, "how many images")

    figures = ("mean_distance",)

    def measure(self, generated: cp.GeneratedImages, real: cp.Images) -> dict[str, float]:
        shown = torch.cat([images for images, _ in generated.batches(self.samples)]).double()
        wanted = (real.pixels.double() / 127.5 - 1).mean(0)
        return {"mean_distance": float((shown.mean(0) - wanted).square().sum())}

    def provenance(self, real: cp.Images) -> Mapping[str, str | int | float]:
        return {"extractor": "pixels", "extractor_sha256": "none", "samples": self.samples}


@dataclass(frozen=True)
class OtherFigures(SoundMetric):
    figures = ("something_else",)


@dataclass(frozen=True)
class OddName(SoundMetric):
    figures = ("mean/distance",)


@dataclass(frozen=True)
class Infinite(SoundMetric):
    def measure(self, generated: cp.GeneratedImages, real: cp.Images) -> dict[str, float]:
        return {"mean_distance": math.inf}


@dataclass(frozen=True)
class Random(SoundMetric):
    def measure(self, generated: cp.GeneratedImages, real: cp.Images) -> dict[str, float]:
        return {"mean_distance": float(torch.rand(()))}


@dataclass(frozen=True)
class Secretive(SoundMetric):
    def provenance(self, real: cp.Images) -> Mapping[str, str | int | float]:
        return {"extractor": "pixels"}


@dataclass(frozen=True)
class Verbose(SoundMetric):
    def provenance(self, real: cp.Images) -> Any:
        return {**super().provenance(real), "counts": [1, 2]}


@dataclass(frozen=True)
class UpsideDown(SoundMetric):
    higher_is_better = True


@dataclass(frozen=True)
class Careless(SoundMetric):
    def measure(self, generated: cp.GeneratedImages, real: cp.Images) -> dict[str, float]:
        return {name: x if math.isfinite(x) else 0.0 for name, x in super().measure(generated, real).items()}


BROKEN_METRICS = [
    (OtherFigures, "figures as it names them"),
    (OddName, "figures as it names them"),
    (Infinite, "figures as it names them"),
    (Random, "the same images give the same figures"),
    (Secretive, "what measured it is recorded"),
    (Verbose, "what measured it is recorded"),
    (UpsideDown, "real images are better than noise"),
    (Careless, "images that are not finite give NaN"),
]
