"""What all games of images share: a data set that is drawn epoch by epoch, samples to show, and metrics."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import UsageError
from ..game.game import INSTANCE_NOISE, Game
from ..game.tree import Batch, Buffers, Params, Player, Tree, copied_to_device
from ..options import Count, option
from ..registry.registry import make
from . import epochs
from .dataset import Dataset, Images, to_floats, valid_images
from .metric import GeneratedImages, Metric, measured, require_measurable

ORDER, EPOCH, POSITION = "data/order", "data/epoch", "data/position"
SHEET = 64  # images that are shown
BATCH_HELP = "images a step; if there are fewer, a batch goes through several epochs"
BLOCK = 250  # images that are generated at once for metrics


@dataclass(frozen=True)
class ImageGameBase(Game):
    """The base of all games of images, which draws their batches.

    A batch has "real", images (B, C, H, W) in [-1, 1], "noise" (B, Z), and with classes "labels" (B,). The pixels lie
    on the run's device as uint8. A subclass says which networks play.
    """

    position_buffers = (ORDER, EPOCH, POSITION)
    sample_axes = MappingProxyType({"real": 0, "noise": 0, "labels": 0, "dropout": 0, INSTANCE_NOISE: 0})

    data: Dataset = option("digits", "data set")
    batch: Count = option(64, BATCH_HELP)
    conditional: bool = option(False, "play with the classes of the images")
    flip: bool = option(False, "mirror half of the real images at random")
    metrics_: list[Metric] = option([], "metrics, recorded with the samples")

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", make("dataset", self.data))
        self._set_metrics(self.metrics_)

    def with_metrics(self, metrics: Sequence[Any]) -> Self:
        """This game with other metrics, each a metric, a name, or a table of a name and options."""
        game = copy.copy(self)  # with the data that it has read
        game._set_metrics(metrics)
        return game

    def _set_metrics(self, metrics: Sequence[Any]) -> None:
        metrics = [metrics] if isinstance(metrics, str) else metrics
        object.__setattr__(self, "metrics_", [make("metric", m) for m in metrics])
        count = Counter(name for m in self.metrics_ for name in m.figures)
        if twice := [name for name, n in count.items() if n > 1]:
            raise UsageError(f"two of the metrics give {twice[0]}: give one, and evaluate the run by the other.")
        require_measurable(self.metrics_, self.data)

    @property
    def metric_axes(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        """Every figure is a number."""
        return {name: () for m in self.metrics_ for name in m.figures}

    # ------------------------------------------------------------------ what a subclass defines

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """The dimension Z of the noise."""

    @abstractmethod
    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] from the noise z (B, Z); in conditional play of the classes in the batch."""

    @property
    def generators(self) -> tuple[Player, ...]:
        """The players that generate images. Samples and metrics are taken of all of them in equal parts."""
        return ("generator",)

    # ------------------------------------------------------------------ data

    def data_provenance(self) -> Mapping[str, Mapping[str, str]]:
        return {"data": {"sha256": self.images.digest, "source": self.images.source}}

    @cached_property
    def images(self) -> Images:
        """The real images. Raises UsageError or BadData if they cannot be read."""
        without = UsageError(
            "conditional play needs images with labels, which these lack: name the labels of the data set (see "
            "counterplay describe dataset NAME), or set conditional=false."
        )
        if self.conditional and self.data.known_classes() == ():
            raise without  # before anything is read
        images = valid_images(self.data.load())
        if self.conditional and images.labels is None:
            raise without
        return images

    @cached_property
    def _copies(self) -> dict[torch.device, tuple[Tensor, Tensor | None]]:
        return {}

    def _data_on(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Pixels and labels on a device, to which they are copied once."""
        if device not in self._copies:
            labels = self.images.labels if self.conditional else None
            self._copies[device] = (self.images.pixels.to(device), None if labels is None else labels.to(device))
        return self._copies[device]

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {ORDER: epochs.first_order(len(self.images), rng), EPOCH: 0, POSITION: 0}

    def advance(self, buffers: Buffers) -> Buffers:
        _, *place = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        return {**buffers, **dict(zip(self.position_buffers, place, strict=True))}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        chosen, *_ = epochs.take(buffers[ORDER], buffers[EPOCH], buffers[POSITION], self.batch)
        pixels, labels = self._data_on(chosen.device)
        real = to_floats(pixels[chosen])
        if self.flip:
            mirrored = torch.rand(self.batch, generator=rng, dtype=torch.float32) < 0.5
            real = torch.where(copied_to_device(mirrored, real.device)[:, None, None, None], real.flip(-1), real)
        batch = {**buffers, "real": real, "noise": self.noise(rng, self.batch)}
        if labels is not None:
            batch["labels"] = labels[chosen]
        return batch

    def noise(self, rng: torch.Generator, count: int) -> Tensor:
        """Draw the noise of ``count`` images, (count, Z)."""
        return torch.randn(count, self.noise_size, generator=rng, dtype=torch.float32)

    # ------------------------------------------------------------------ samples and metrics

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """The noise of the images that are shown, and the seed of those that metrics are measured on."""
        batch = {**buffers, "noise": self.noise(rng, SHEET), "seed": torch.randint(2**62, (), generator=rng)}
        if self.conditional:
            batch["labels"] = torch.arange(SHEET) % len(self.images.classes)
        return batch

    def show(self, params: Params, batch: Batch) -> Tensor:
        """The images of the noise in ``batch``, in its order: first those of the first generator, and so on."""
        n, count = len(self.generators), len(batch["noise"])
        return (self._made(params, torch.arange(count) * n // count, batch) + 1) / 2

    def _made(self, params: Params, by: Tensor, batch: Batch) -> Tensor:
        """The images of the noise in ``batch``, each by the generator whose number ``by`` (B,) says."""
        z, y = batch["noise"], batch.get("labels")
        if len(self.generators) == 1:
            return self.generate(params[self.generators[0]], z, {**batch, "labels": y})
        own = {n: copied_to_device((by == n).nonzero()[:, 0], z.device) for n in by.unique().tolist()}
        made = [
            self.generate(params[self.generators[n]], z[at], {**batch, "labels": None if y is None else y[at]})
            for n, at in own.items()
        ]
        return torch.cat(made)[torch.cat([*own.values()]).argsort()]

    def generated_images(self, params: Params, batch: Batch) -> GeneratedImages:
        """The images that metrics are measured on, from the seed in the gallery's batch. Generators take turns."""
        like, labels = batch["noise"], self.images.labels

        def batches(count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            rng = torch.Generator().manual_seed(int(batch["seed"]))
            for start in range(0, count, BLOCK):
                z, y = self.noise(rng, BLOCK).to(like), None
                if self.conditional and labels is not None:  # the classes in the shares that the data have
                    y = labels[torch.randint(len(labels), (BLOCK,), generator=rng)].to(like.device)
                by = (start + torch.arange(BLOCK)) % len(self.generators)
                images = self._made(params, by, {**batch, "noise": z, "labels": y})
                left = count - start
                yield images[:left], None if y is None else y[:left]

        return GeneratedImages(batches)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """The figures of all metrics, by name."""
        return dict[str, Any](measured(self.metrics_, self.generated_images(params, batch), self.images))

    def metric_provenance(self) -> dict[str, Mapping[str, str | int | float]]:
        """What each figure means nothing without: extractor and counts, by the figure's name."""
        return {name: dict(m.provenance(self.images)) for m in self.metrics_ for name in m.figures}
