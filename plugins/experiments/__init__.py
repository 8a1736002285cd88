"""The list of the built-in experiments. Each has a file with the claims of a paper and how they are played."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .cgd_bilinear import CgdBilinear
from .gans.icr_account import IcrAccount
from .gans.icr_adam import IcrAdam
from .gans.icr_cifar10 import IcrCifar10
from .gans.icr_fresh import IcrFresh
from .gans.icr_overtraining import IcrOvertraining
from .gans.icr_pixels import IcrPixels
from .gans.jare_ring import JareRing
from .gans.num_ring import NumRing
from .icr_best_response import IcrBestResponse
from .icr_finite_data import IcrFiniteData
from .icr_projection import IcrProjection
from .icr_quadratic import IcrQuadratic
from .images.jare_cifar10 import JareCifar10
from .images.jare_cost import JareCost
from .images.num_faces import NumFaces
from .images.num_images import NumImages
from .jare_affine import JareAffine
from .jare_spectra import JareSpectra
from .num_lemmas import NumLemmas
from .opponent_shaping import OpponentShaping
from .rotations import BilinearMethods, DiracGanPanels, FollowTheRidge, LookaheadMinmax, NegativeMomentum, WeakAttractor

ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852"
JARE = "Nie, Patel 2020, arXiv 1806.09235"
NUM = "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461"


@hookimpl
def register_experiments() -> list[Entry]:
    """The built-in experiments."""
    return [
        Entry("icr-quadratic", IcrQuadratic, "the quadratic game: three pairs of step sizes, and y alone",
              ICR + ", eq. 3, Fig. 3 and 6"),
        Entry("icr-projection", IcrProjection, "metastable projection from 200 starts, with simgd and cgd",
              ICR + ", eq. 4, Fig. 7 and A.2"),
        Entry("icr-best-response", IcrBestResponse, "three kinds of play in a game without an equilibrium",
              ICR + ", workshop version, Fig. 1"),
        Entry("icr-overtraining", IcrOvertraining, "a discriminator trained on alone, jointly and by cgd, and attacked",
              ICR + ", Fig. 4 and 8, A.3"),
        Entry("icr-adam", IcrAdam, "over-training by Adam after 21 and after 11 epochs, and the generator against it",
              ICR + ", workshop version, Fig. 2"),
        Entry("icr-cifar10", IcrCifar10, "eleven ways to train a GAN on CIFAR-10, with a score and a distance",
              ICR + ", section 6, Table 3, Fig. 9 and 12"),
        Entry("icr-fresh", IcrFresh, "how fast a new discriminator learns against generators of several scores",
              ICR + ", section 4, Fig. 5"),
        Entry("icr-account", IcrAccount, "which eigenvalues hold a checkpoint that one player alone would leave",
              "after " + ICR + ", section 3 and 4"),
        Entry("icr-finite-data", IcrFiniteData, "a discriminator that picks out the points of a finite data set",
              ICR + ", Fig. 1"),
        Entry("icr-pixels", IcrPixels, "photographs, a visible change and a tiny warp: distances of pixels",
              ICR + ", Fig. 2 and 10"),
        Entry("num-lemmas", NumLemmas, "eigenvalues under a step, and the lemmas over random matrices",
              NUM + ", Fig. 1, Lemmas 4, 9, 11, Prop. 13"),
        Entry("num-ring", NumRing, "a ring of Gaussians: simultaneous descent jumps, consensus optimization covers it",
              NUM + ", section 5, Fig. 2"),
        Entry("num-images", NumImages, "four architectures and a divergence, by simgd, altgd and conopt",
              NUM + ", Fig. 3a and 4 to 6"),
        Entry("num-faces", NumFaces, "residual networks on CelebA: only conopt is said to train them",
              NUM + ", Fig. 3b and 7"),
        Entry("jare-spectra", JareSpectra, "phase and conditioning of the affine Gaussian GAN under five methods",
              JARE + ", Thm. 1 to 3, Cor. 1 to 3, eq. 13, 14"),
        Entry("jare-affine", JareAffine, "the affine Gaussian GAN played, in exact expectation and from samples",
              JARE + ", Fig. 1"),
        Entry("jare-ring", JareRing, "the ring of radius 2: whether simultaneous descent jumps to the end",
              JARE + ", Fig. 2"),
        Entry("jare-cost", JareCost, "seconds of a step of four methods with six pairs of networks, as ratios",
              JARE + ", Fig. 4"),
        Entry("jare-cifar10", JareCifar10, "scores of four methods with six pairs of networks on CIFAR-10",
              JARE + ", Fig. 3"),
        Entry("cgd-bilinear", CgdBilinear, "six methods on the bilinear game of three strengths",
              "Schäfer, Anandkumar 2019, arXiv 1905.12103, section 4"),
        Entry("bilinear-methods", BilinearMethods, "seventeen methods on the bilinear game",
              "derived; Schäfer, Anandkumar 2019, arXiv 1905.12103"),
        Entry("opponent-shaping", OpponentShaping, "the tandem game and the iterated prisoner's dilemma",
              "Letcher et al. 2019, arXiv 1811.08469, section 5; Foerster et al. 2018, arXiv 1709.04326"),
        Entry("sga-weak-attractor", WeakAttractor, "descent and symplectic adjustment in a strong rotation",
              "Balduzzi et al. 2018, arXiv 1802.05642; Letcher et al. 2019, arXiv 1905.04926"),
        Entry("negative-momentum", NegativeMomentum, "momentum of either sign on the bilinear game",
              "Gidel et al. 2019, arXiv 1807.04740, Thm. 5 and 6"),
        Entry("lookahead-bilinear", LookaheadMinmax, "slow weights on the bilinear game",
              "Chavdarova et al. 2021, arXiv 2006.14567, Fig. 1"),
        Entry("ridge-quadratics", FollowTheRidge, "two quadratic games with and without a minimax point",
              "Wang et al. 2020, arXiv 1910.07512, section 5"),
        Entry("dirac-gan-penalties", DiracGanPanels, "losses and penalties at the equilibrium of the Dirac-GAN",
              "Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406, section 2 to 4, Fig. 3"),
    ]  # fmt: skip
