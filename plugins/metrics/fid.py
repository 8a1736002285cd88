"""Fréchet inception distance: that of Gaussians fitted to the features of generated and of real images.

    FID = |m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2))

Heusel et al. (2017, arXiv 1706.08500), section 1 and eq. 6; by a QR decomposition and an SVD (`gaussian`).
"""

from __future__ import annotations

from dataclasses import dataclass

from .gaussian import GaussianFit, fit, frechet_distance
from .measured import FeatureMetric, SeenReal


@dataclass(frozen=True)
class Fid(FeatureMetric):
    """``fid``; 0 is best. All real images are seen. Its value falls as ``samples`` grows: compare equal counts only."""

    figures = ("fid",)

    def tally(self) -> GaussianFit:
        return GaussianFit()

    def figures_of(self, tally: GaussianFit, seen: SeenReal) -> dict[str, float]:
        return {"fid": frechet_distance(tally.result(), seen.of_real("gaussian", fit))}
