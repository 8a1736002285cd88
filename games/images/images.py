"""A GAN of images, made of a data set, a pair of networks and a loss, each by name.

In conditional play both players know the class y of an image. The generator reads an embedding of y after its noise z.
The discriminator adds the inner product of another embedding of y with its features phi(x), the projection
discriminator of Miyato and Koyama (2018, arXiv 1802.05637), eq. 4: D(x, y) = w . phi(x) + b + e_y . phi(x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.game.game import GanGame
from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.images.dataset import Dataset, Images, to_floats
from ...core.images.metric import Generated, Metric
from ...core.images.network import Network
from ...core.options import Count, option
from ...core.registry.registry import make
from . import epochs

ORDER, EPOCH, POSITION = "data/order", "data/epoch", "data/position"
SHEET = 64  # images that are shown
BLOCK = 250  # images that are generated at once for metrics


@dataclass(frozen=True)
class ImageGame(GanGame):
    """Images (B, C, H, W) in [-1, 1], generated and discriminated by the networks."""

    data_position = (ORDER, EPOCH, POSITION)

    data: Dataset = option("digits", "data set")
    network: Network = option("mlp", "pair of networks")
    loss: GanLoss = option("non-saturating", "GAN loss")
    batch: Count = option(64, "images a step")
    conditional: bool = option(False, "play with the classes of the images")
    flip: bool = option(False, "mirror half of the real images at random")
    metrics_: list[Metric] = option([], "metrics, recorded with the samples")

    def __post_init__(self) -> None:
        for kind, name in (("dataset", "data"), ("network", "network"), ("loss", "loss")):
            object.__setattr__(self, name, make(kind, getattr(self, name)))
        object.__setattr__(self, "metrics_", [make("metric", m) for m in self.metrics_])

    # ------------------------------------------------------------------ data

    @cached_property
    def images(self) -> Images:
        """The real images. Raises UsageError or BadData if they cannot be read."""
        images = self.data.load()
        if self.conditional and images.labels is None:
            raise UsageError("conditional play needs images with labels, which these lack: set conditional=false.")
        return images

    @cached_property
    def _on(self) -> dict[torch.device, tuple[Tensor, Tensor | None]]:
        return {}

    def _data_on(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Pixels and labels on a device, to which they are copied once."""
        if device not in self._on:
            labels = self.images.labels if self.conditional else None
            self._on[device] = (self.images.pixels.to(device), None if labels is None else labels.to(device))
        return self._on[device]

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {ORDER: epochs.first_order(len(self.images), rng), EPOCH: 0, POSITION: 0}

    def advance(self, buffers: Buffers) -> Buffers:
        _, *place = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        return {**buffers, **dict(zip(self.data_position, place, strict=True))}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        chosen, *_ = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        pixels, labels = self._data_on(chosen.device)
        real = to_floats(pixels[chosen])
        if self.flip:
            mirrored = torch.rand(self.batch, generator=rng, dtype=torch.float32) < 0.5
            real = torch.where(mirrored.to(real.device)[:, None, None, None], real.flip(-1), real)
        batch = {k: x for k, x in buffers.items() if k not in self.data_position} | {"real": real}
        batch["noise"] = torch.randn(self.batch, self.network.latent, generator=rng, dtype=torch.float32)
        if labels is not None:
            batch["labels"] = labels[chosen]
        if masks := self._masks(rng):
            batch["dropout"] = masks
        return batch

    def _masks(self, rng: torch.Generator) -> tuple[Tensor, ...]:
        draw = getattr(self.discriminator, "masks", None)
        return () if draw is None else draw(rng, self.batch)

    # ------------------------------------------------------------------ players

    @cached_property
    def generator(self) -> Any:
        """The generator, a :class:`Function`."""
        latent = self.network.latent
        return self.network.generator(self.images.shape, 2 * latent if self.conditional else latent)

    @cached_property
    def discriminator(self) -> Any:
        """The discriminator, a :class:`Function`; in conditional play a :class:`Features`."""
        made = self.network.discriminator(self.images.shape)
        if self.conditional and not hasattr(made, "features"):
            raise UsageError(
                "conditional play needs a discriminator that gives its features, and this network's does not: set "
                "conditional=false, or choose another network."
            )
        return made

    def init(self, rng: torch.Generator) -> Params:
        params = {"generator": self.generator.init(rng), "discriminator": self.discriminator.init(rng)}
        if self.conditional:
            classes = len(self.images.classes)
            for player, width in (("generator", self.network.latent), ("discriminator", self.discriminator.width)):
                params[player]["embedding"] = torch.randn(classes, width, generator=rng, dtype=torch.float32)
            params["discriminator"]["embedding"] /= self.discriminator.width**0.5  # inner products of order 1
        return params

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        if not self.conditional:
            return self.generator(generator, z)  # (B, C, H, W)
        own, embedding = _split(generator)
        return self.generator(own, torch.cat([z, embedding[batch["labels"]]], dim=1))

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        masks = (batch["dropout"],) if "dropout" in batch else ()
        if not self.conditional:
            return self.discriminator(discriminator, x, *masks).squeeze(1)  # (B,)
        own, embedding = _split(discriminator)
        phi = self.discriminator.features(own, x, *masks)  # (B, width)
        return self.discriminator.readout(own, phi).squeeze(1) + (phi * embedding[batch["labels"]]).sum(1)

    # ------------------------------------------------------------------ samples and metrics

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """The noise of the images that are shown, and the seed of those that metrics are measured on."""
        batch = {k: x for k, x in buffers.items() if k not in self.data_position}
        batch["noise"] = torch.randn(SHEET, self.network.latent, generator=rng, dtype=torch.float32)
        batch["seed"] = torch.randint(2**62, (), generator=rng)
        if self.conditional:
            batch["labels"] = torch.arange(SHEET) % len(self.images.classes)
        return batch

    def show(self, params: Params, batch: Batch) -> Tensor:
        return (self.generate(params["generator"], batch["noise"], batch) + 1) / 2

    def generated_images(self, params: Params, batch: Batch) -> Generated:
        """The images that metrics are measured on, from the seed in the gallery's batch."""
        like, labels = batch["noise"], self.images.labels

        def batches(count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            rng = torch.Generator().manual_seed(int(batch["seed"]))
            for start in range(0, count, BLOCK):
                z = torch.randn(BLOCK, self.network.latent, generator=rng, dtype=torch.float32)
                of = dict(batch)
                if self.conditional and labels is not None:  # in the shares that the data have
                    of["labels"] = labels[torch.randint(len(labels), (BLOCK,), generator=rng)].to(like.device)
                images = self.generate(params["generator"], z.to(like), of)
                left = count - start
                yield images[:left], of["labels"][:left] if self.conditional else None

        return Generated(batches)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """The figures of all metrics, by name."""
        generated, found = self.generated_images(params, batch), dict[str, Any]()
        for metric in self.metrics_:
            found |= metric.measure(generated, self.images)
        return found

    def metric_provenance(self) -> dict[str, Mapping[str, str | int]]:
        """What each figure means nothing without: extractor and counts, by the figure's name."""
        return {name: dict(m.provenance(self.images)) for m in self.metrics_ for name in m.figures}


def _split(tree: Tree) -> tuple[Tree, Tensor]:
    """A network's own parameters, and the embedding of the classes."""
    return {k: x for k, x in tree.items() if k != "embedding"}, tree["embedding"]
