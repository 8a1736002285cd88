"""The game `images` with the data set, networks and settings of an experiment filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...core.game.loss import GanLoss
from ...core.images.dataset import Dataset
from ...core.images.image_game_base import BATCH_HELP
from ...core.images.network import Network
from ...core.images.random_images import RandomImages
from ...core.options import Count, option
from .images import ImageGame


def _small(shape: tuple[int, int, int], network: str, **options: int) -> Mapping[str, Any]:
    """Options for checks: random images of the preset's shape, and narrow networks."""
    narrow = {"name": network, "filters": 2, "latent": 3, **options}
    return MappingProxyType({"data": RandomImages(shape), "network": narrow, "batch": 4})


@dataclass(frozen=True)
class Mnist(ImageGame):
    """Handwritten digits of 28x28. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 3 and A.3."""

    small_options = _small((1, 28, 28), "icr-mnist", hidden=6)

    data: Dataset = option("mnist", "data set")
    network: Network = option("icr-mnist", "pair of networks")
    loss: GanLoss = option("saturating", "GAN loss")
    batch: Count = option(128, BATCH_HELP)


@dataclass(frozen=True)
class Cifar10(ImageGame):
    """Colour images of 32x32. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), A.4."""

    small_options = _small((3, 32, 32), "wgan-gp-dcgan")

    data: Dataset = option("cifar10", "data set")
    network: Network = option("wgan-gp-dcgan", "pair of networks")
    loss: GanLoss = option("saturating", "GAN loss")


@dataclass(frozen=True)
class CelebA(ImageGame):
    """Faces of 64x64 from a folder. Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Fig. 3b and 7."""

    small_options = _small((3, 64, 64), "resnet-const")

    data: Dataset = option({"name": "folder", "side": 64}, "data set")
    network: Network = option({"name": "resnet-const", "filters": 128, "latent": 256}, "pair of networks")
    loss: GanLoss = option("non-saturating", "GAN loss")
    batch: Count = option(128, BATCH_HELP)
