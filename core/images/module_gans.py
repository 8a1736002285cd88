"""GANs whose generator and discriminator are a user's own modules: all that a `counterplay.GanGame` has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..game.checks import describe_value
from ..game.game import INSTANCE_NOISE, GanGame
from ..game.loss import GanLoss
from ..game.module_games import GameFromModules
from ..game.torch_errors import explained
from ..game.tree import Batch, Buffers, Params, Player, Tree, copied_to_device
from . import epochs
from .given_data import Samples

ORDER, EPOCH, POSITION = "data/order", "data/epoch", "data/position"
SHOWN = 256  # points that are shown


@dataclass(frozen=True)
class GanFromModules(GameFromModules, GanGame):
    """The players "generator" and "discriminator". In conditional play both get the classes as a second argument."""

    loss: GanLoss | None = None  # type: ignore[assignment]  # None: the losses are the user's own
    conditional: bool = False

    @property
    def sample_axes(self) -> Mapping[str, int]:  # type: ignore[override]
        """Losses of one's own need not be means over samples."""
        return {} if self.loss is None else {"real": 0, "noise": 0, "labels": 0, INSTANCE_NOISE: 0}

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, where it is known."""
        return None

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        own = {"generator": generator}
        with explained(self.modules, self.hint, own), self.in_place_of_weights(own, batch):
            made = self.modules["generator"](z, *classes(batch, self.conditional))
            return made if self.shape is None else like_data(made, (len(z), *self.shape))

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        own = {"discriminator": discriminator}
        with explained(self.modules, self.hint, own), self.in_place_of_weights(own, batch):
            return logits(self.modules["discriminator"](x, *classes(batch, self.conditional)), len(x))

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        if self.loss is not None and INSTANCE_NOISE in batch:
            return GanGame.losses(self, params, batch)
        return GameFromModules.losses(self, params, batch)


@dataclass(frozen=True)
class SamplesFromModules(GanFromModules):
    """A GAN of samples (B, ...) that are no images. Every sample is drawn once an epoch."""

    position_buffers = (ORDER, EPOCH, POSITION)

    samples_: Samples = field(kw_only=True, repr=False)
    latent: int = 128
    batch: int = 64

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples_.x.shape[1:])

    @property
    def hint(self) -> str:
        return f"Noise is (B, {self.latent}), samples are (B, {', '.join(map(str, self.shape))})."

    def data_provenance(self) -> Mapping[str, Mapping[str, str]]:
        return {"data": {"sha256": self.samples_.digest, "source": "handed over in Python"}}

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {
            **super().buffers(rng), ORDER: epochs.first_order(len(self.samples_.x), rng), EPOCH: 0, POSITION: 0
        }  # fmt: skip

    def advance(self, buffers: Buffers) -> Buffers:
        _, *place = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        return {**buffers, **dict(zip(self.position_buffers, place, strict=True))}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        chosen, *_ = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        x, rows = self.samples_.x, chosen.cpu()
        batch = {**buffers, "real": copied_to_device(x[rows], chosen.device), "noise": self._noise(rng, self.batch)}
        return {**batch, "labels": copied_to_device(self._labels[rows], chosen.device)} if self.conditional else batch

    def _noise(self, rng: torch.Generator, count: int) -> Tensor:
        return torch.randn(count, self.latent, generator=rng, dtype=self.samples_.x.dtype)

    @property
    def _labels(self) -> Tensor:
        return torch.zeros(0) if self.samples_.labels is None else self.samples_.labels

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        batch = {**buffers, "noise": self._noise(rng, SHOWN)}
        return {**batch, "labels": self._labels[torch.arange(SHOWN) % len(self._labels)]} if self.conditional else batch

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        """Points of the plane; of other samples nothing is shown, unless the user says what."""
        if self.shown is not None or self.shape != (2,):
            return super().show(params, batch)
        return self.generate(params["generator"], batch["noise"], batch)


def classes(batch: Batch, conditional: bool) -> tuple[Tensor, ...]:
    """What the modules of conditional play get besides."""
    return (batch["labels"],) if conditional else ()


def like_data(made: Any, shape: tuple[int, ...]) -> Tensor:
    """What the generator made. Raises UsageError unless it is of ``shape``."""
    if isinstance(made, Tensor) and made.shape == shape and made.is_floating_point():
        return made
    flat = isinstance(made, Tensor) and made.shape == (shape[0], math.prod(shape[1:]))
    advice = f": end it with nn.Unflatten(1, {shape[1:]})" if flat else ""
    what = "images" if len(shape) == 4 else "samples"
    raise UsageError(
        f"player generator: its module gives {describe_value(made)}; expected: {what} like the data, of shape {shape}"
        f"{advice}."
    )


def logits(of: Any, count: int) -> Tensor:
    """What the discriminator says of ``count`` samples. Raises UsageError unless it is a logit of each, (count,)."""
    if isinstance(of, Tensor) and len(of.shape) and of.numel() == len(of) == count and of.is_floating_point():
        return of.reshape(count)
    raise UsageError(
        f"player discriminator: its module gives {describe_value(of)} for {count} images; expected: a logit of "
        f"each, of shape ({count},) or ({count}, 1)."
    )
