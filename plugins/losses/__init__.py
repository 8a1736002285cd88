"""The list of the built-in GAN losses."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .classic import NonSaturating, Saturating, Wgan
from .f_gan import Hellinger, Indicator, JensenShannon, KullbackLeibler, Pearson, ReverseKullbackLeibler, TotalVariation
from .hinge import Hinge
from .least_squares import LeastSquares
from .mmd import Mmd
from .relativistic import RelativisticAverage, RelativisticPairing

GOODFELLOW = "Goodfellow et al. 2014, arXiv 1406.2661"
F_GAN = "Nowozin et al. 2016, arXiv 1606.00709"
R3GAN = "Huang et al. 2024, arXiv 2501.05441, eq. 2"
RELATIVISTIC = "Jolicoeur-Martineau 2019, arXiv 1807.00734"
NUMERICS = "Mescheder et al. 2017, arXiv 1705.10461"


@hookimpl
def register_losses() -> list[Entry]:
    """The built-in losses."""
    return [
        Entry("saturating", Saturating, "zero-sum cross entropy (minimax, Jensen-Shannon)", GOODFELLOW + ", eq. 1"),
        Entry("non-saturating", NonSaturating, "generator maximises log sigma(D(G(z)))", GOODFELLOW + ", section 3"),
        Entry("wgan", Wgan, "difference of mean logits", "Arjovsky et al. 2017, arXiv 1701.07875, eq. 3"),
        Entry("least-squares", LeastSquares, "squared distances from labels", "Mao et al. 2017, arXiv 1611.04076"),
        Entry("hinge", Hinge, "margins of 1 and -1", "Miyato et al. 2018, arXiv 1802.05957, eq. 16-17"),
        Entry("kl", KullbackLeibler, "f-GAN: Kullback-Leibler divergence KL(data || generated)", F_GAN + ", Table 2"),
        Entry("reverse-kl", ReverseKullbackLeibler, "f-GAN: KL(generated || data)", F_GAN + ", Table 2"),
        Entry("pearson", Pearson, "f-GAN: Pearson's chi-squared divergence", F_GAN + ", Table 2"),
        Entry("hellinger", Hellinger, "f-GAN: squared Hellinger distance", F_GAN + ", Table 2"),
        Entry("jensen-shannon", JensenShannon, "f-GAN: twice the Jensen-Shannon divergence", F_GAN + ", Table 2"),
        Entry("total-variation", TotalVariation, "f-GAN: total variation, by tanh", F_GAN + ", Table 2"),
        Entry("indicator", Indicator, "difference of mean logits, without a bound on D", NUMERICS + ", section 2.1"),
        Entry("relativistic-average", RelativisticAverage, "each logit against the other side's mean", RELATIVISTIC),
        Entry("relativistic-pairing", RelativisticPairing, "differences of paired logits (R3GAN)", R3GAN),
        Entry("mmd", Mmd, "maximum mean discrepancy of the logits", "Li et al. 2017, arXiv 1705.08584"),
    ]
