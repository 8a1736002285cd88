"""The list of the built-in GAN losses."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .classic import NonSaturating, Saturating, Wgan

GOODFELLOW = "Goodfellow et al. 2014, arXiv 1406.2661"


@hookimpl
def register_losses() -> list[Entry]:
    return [
        Entry("saturating", Saturating, "zero-sum cross entropy (minimax, Jensen-Shannon)", GOODFELLOW + ", eq. 1"),
        Entry("non-saturating", NonSaturating, "generator maximises log sigma(D(G(z)))", GOODFELLOW + ", section 3"),
        Entry("wgan", Wgan, "difference of mean logits", "Arjovsky et al. 2017, arXiv 1701.07875, eq. 3"),
    ]
