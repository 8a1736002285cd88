"""The game `images` with the data set, networks and settings of an experiment filled in."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.game.loss import GanLoss
from ...core.images.dataset import Dataset
from ...core.images.network import Network
from ...core.options import Count, option
from .images import ImageGame


@dataclass(frozen=True)
class Mnist(ImageGame):
    """Handwritten digits of 28x28. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 3 and A.3."""

    data: Dataset = option("mnist", "data set")
    network: Network = option("icr-mnist", "pair of networks")
    loss: GanLoss = option("saturating", "GAN loss")
    batch: Count = option(128, "images a step")


@dataclass(frozen=True)
class Cifar10(ImageGame):
    """Colour images of 32x32. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), A.4."""

    data: Dataset = option("cifar10", "data set")
    network: Network = option("wgan-gp-dcgan", "pair of networks")
    loss: GanLoss = option("saturating", "GAN loss")


@dataclass(frozen=True)
class CelebA(ImageGame):
    """Faces of 64x64 from a folder. Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Fig. 3b and 7."""

    data: Dataset = option("folder", "data set")
    network: Network = option("resnet-const", "pair of networks")
    loss: GanLoss = option("non-saturating", "GAN loss")
    batch: Count = option(128, "images a step")
