"""The list of the built-in regularisers."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .consensus import Consensus
from .gradient_penalty import R1, GradientPenalty
from .l2 import L2
from .spectral_norm import SpectralNorm

ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852, A.4"


@hookimpl
def register_regularizers() -> list[Entry]:
    return [
        Entry("l2", L2, "squared weights of one player", ICR),
        Entry(
            "gradient-penalty",
            GradientPenalty,
            "(||grad_x D|| - 1)^2 between real and generated samples",
            "Gulrajani et al. 2017, arXiv 1704.00028",
        ),
        Entry("r1", R1, "||grad_x D||^2 on real samples", "Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406"),
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
    ]
