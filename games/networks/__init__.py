"""The list of the built-in networks for images. For other packages: `layers` and `sequential`, which make networks."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .icr import IcrMnist, WganGpDcgan
from .jare import ResnetV1, ResnetV2, SnGanCnn
from .numerics import Conv3Const, Conv4Const, Dcgan4, Dcgan4Const, Dcgan4NoBn, ResnetConst
from .small import Mlp, SmallConv

GOODFELLOW = "Goodfellow et al. 2014, arXiv 1406.2661"
DCGAN = "Radford, Metz, Chintala 2016, arXiv 1511.06434"
ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852"
NUMERICS = "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461"
JARE = "Nie, Patel 2020, arXiv 1806.09235"


@hookimpl
def register_networks() -> list[Entry]:
    """The built-in networks."""
    return [
        Entry(Mlp.name, Mlp, "fully connected, hidden layers of one width", GOODFELLOW),
        Entry(SmallConv.name, SmallConv, "two levels of 4x4, for small images", DCGAN),
        Entry(IcrMnist.name, IcrMnist, "two hidden layers, two levels, max-pooling", f"{ICR}, Tables 1-2"),
        Entry(WganGpDcgan.name, WganGpDcgan, "the DCGAN of WGAN-GP: three levels of 4x4", f"{ICR}, Tables 4-5"),
        Entry(Dcgan4.name, Dcgan4, "DCGAN: four levels of 5x5 with batch normalisation", NUMERICS),
        Entry(Dcgan4NoBn.name, Dcgan4NoBn, "dcgan4 without batch normalisation", NUMERICS),
        Entry(Dcgan4Const.name, Dcgan4Const, "dcgan4-nobn with as many filters everywhere", NUMERICS),
        Entry(Conv4Const.name, Conv4Const, "dcgan4-const with a hidden layer", NUMERICS),
        Entry(Conv3Const.name, Conv3Const, "conv4-const of three levels", NUMERICS),
        Entry(ResnetConst.name, ResnetConst, "residual, as many filters everywhere, activations first", NUMERICS),
        Entry(SnGanCnn.name, SnGanCnn, "the CNN of SN-GAN: three levels of 4x4 and 3x3", f"{JARE}, A and B"),
        Entry(ResnetV1.name, ResnetV1, "residual, as many filters everywhere, activations last", f"{JARE}, E"),
        Entry(ResnetV2.name, ResnetV2, "resnet-v1 with a generator from a larger image", f"{JARE}, F"),
    ]
