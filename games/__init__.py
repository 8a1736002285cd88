"""The list of the built-in games. Each has a file with its formula, its source and its options."""

from __future__ import annotations

from ..core.registry.hookspecs import Entry, hookimpl
from .bilinear import Bilinear
from .exponential import Exponential
from .four_player import FourPlayer
from .gans.affine_gaussian import AffineGaussian
from .gans.covariance import Covariance
from .gans.dirac_gan import DiracGan
from .gans.mixture import Mixture
from .gans.projection import Projection
from .images.digits import Digits
from .images.images import ImageGame
from .images.presets import CelebA, Cifar10, Mnist
from .images.several import SeveralGans
from .iterated_prisoners_dilemma import IteratedPrisonersDilemma
from .matching_pennies import MatchingPennies
from .quadratic import Quadratic
from .random_polynomial import RandomPolynomial
from .tandem import Tandem
from .weak_attractor import WeakAttractor

ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852"
CGD = "Schäfer, Anandkumar 2019, arXiv 1905.12103"
MECHANICS = "Balduzzi et al. 2018, arXiv 1802.05642"
GAN = "Goodfellow et al. 2014, arXiv 1406.2661"
LOLA = "Foerster et al. 2018, arXiv 1709.04326"


@hookimpl
def register_games() -> list[Entry]:
    """The built-in games."""
    return [
        Entry("quadratic", Quadratic, "a x^2 + b xy + c y^2, x down, y up", ICR + ", eq. 3"),
        Entry("bilinear", Bilinear, "alpha x . y, x down, y up", CGD),
        Entry(
            "exponential",
            Exponential,
            "-exp(x^2) - alpha xy + exp(y^2), x down, y up: nobody wants to stay",
            ICR + ", workshop version, eq. 6",
        ),
        Entry(
            "weak-attractor",
            WeakAttractor,
            "a weak attraction in a strong rotation",
            MECHANICS + "; Letcher et al. 2019, arXiv 1905.04926",
        ),
        Entry("tandem", Tandem, "two cyclists who should pedal together", "Letcher et al. 2019, arXiv 1811.08469"),
        Entry("four-player", FourPlayer, "four players, each two of them in a rotation", MECHANICS + ", appendix D"),
        Entry("random-polynomial", RandomPolynomial, "n players with random polynomial losses", "ours"),
        Entry("matching-pennies", MatchingPennies, "heads or tails, once or iterated", LOLA),
        Entry("iterated-prisoners-dilemma", IteratedPrisonersDilemma, "strategies that remember one round", LOLA),
        Entry(
            "dirac-gan",
            DiracGan,
            "a point mass at 0, D(x) = theta x",
            "Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406",
        ),
        Entry(
            "covariance",
            Covariance,
            "G(z) = V z against D(x) = x^T W x",
            "Daskalakis et al. 2018, arXiv 1711.00141, appendix C; " + CGD,
        ),
        Entry(
            "projection",
            Projection,
            "a generator that cannot reach its target, 28 parameters each",
            ICR + ", eq. 4 and A.2",
        ),
        Entry(
            "affine-gaussian",
            AffineGaussian,
            "a Gaussian shifted onto another, D(x) = theta . x",
            "Nie, Patel 2020, arXiv 1806.09235, section 4",
        ),
        Entry(
            "mixture",
            Mixture,
            "eight Gaussians on a ring",
            "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461, section 5",
        ),
        Entry("digits", Digits, "real handwritten digits, 8x8, of scikit-learn", "Alpaydin, Kaynak 1998, UCI"),
        Entry("mnist", Mnist, "handwritten digits, 28x28", ICR + ", section 3 and A.3"),
        Entry("cifar10", Cifar10, "colour images of ten classes, 32x32", ICR + ", A.4"),
        Entry("celeba", CelebA, "faces, 64x64, from a folder", "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461"),
        Entry(
            "several-gans",
            SeveralGans,
            "several generators against several discriminators",
            "Durugkar, Gemp, Mahadevan 2017, arXiv 1611.01673; Hoang et al. 2018, arXiv 1708.02556",
        ),
        Entry(
            "images",
            ImageGame,
            "any data set of images with any pair of networks",
            GAN,
        ),
    ]
