"""A feature extractor: a network through which metrics see images, with the sha256 sum of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Outputs = tuple[Tensor, Tensor | None]
"""Features (B, d), and the logits of classes (B, K) where there are any."""


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network with its weights, as a function of images.

    ``network(weights, images)`` gives `Outputs` of uint8 images (B, C, H, W), on the device where weights and images
    are. ``facts`` are further facts to be recorded.
    """

    name: str
    sha256: str
    network: Callable[[Weights, Tensor], Outputs]
    weights: Weights
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    _on: dict[torch.device, Weights] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Outputs:
        """Features (B, d) and logits (B, K) or None, of uint8 images (B, C, H, W), on their device."""
        if images.device not in self._on:
            self._on[images.device] = {k: x.to(images.device) for k, x in self.weights.items()}
        return self.network(self._on[images.device], images)
