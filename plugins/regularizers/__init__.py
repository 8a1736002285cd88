"""The list of the built-in regularisers."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .consensus import Consensus
from .ema import Ema
from .gradient_penalty import R1, R2, GradientPenalty, ZeroCentred
from .instance_noise import InstanceNoise
from .jacobian import Jacobian
from .l2 import L2
from .spectral_norm import SpectralNorm
from .weight_clipping import WeightClipping

MESCHEDER = "Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406"
ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852, A.4"


@hookimpl
def register_regularizers() -> list[Entry]:
    """The built-in regularizers."""
    return [
        Entry("l2", L2, "squared weights of one player", ICR),
        Entry(
            "gradient-penalty",
            GradientPenalty,
            "(||grad_x D|| - 1)^2 between real and generated samples",
            "Gulrajani et al. 2017, arXiv 1704.00028",
        ),
        Entry("r1", R1, "||grad_x D||^2 on real samples", MESCHEDER + ", eq. 9"),
        Entry("r2", R2, "||grad_x D||^2 on generated samples", MESCHEDER + ", eq. 10"),
        Entry(
            "zero-centred",
            ZeroCentred,
            "||grad_x D||^2 between real and generated samples",
            "Thanh-Tung, Tran, Venkatesh 2019, arXiv 1902.03984",
        ),
        Entry(
            "spectral-norm",
            SpectralNorm,
            "weights divided by their largest singular value",
            "Miyato et al. 2018, arXiv 1802.05957",
        ),
        Entry(
            "consensus",
            Consensus,
            "half the squared gradient norm for everyone",
            "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461, eq. 14",
        ),
        Entry(
            "jacobian",
            Jacobian,
            "half the squared gradient norm of the others (jare as a loss term)",
            "Nie, Patel 2020, arXiv 1806.09235, eq. 7",
        ),
        Entry(
            "weight-clipping",
            WeightClipping,
            "weights of one player in [-bound, bound]",
            "Arjovsky, Chintala, Bottou 2017, arXiv 1701.07875, Alg. 1",
        ),
        Entry(
            "instance-noise",
            InstanceNoise,
            "Gaussian noise on the data that the discriminator sees",
            "Sønderby et al. 2017, arXiv 1610.04490, section 3",
        ),
        Entry(
            "ema",
            Ema,
            "samples and metrics of a running average of players",
            "Yazıcı et al. 2019, arXiv 1806.04498, section 3",
        ),
    ]
