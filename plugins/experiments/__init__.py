"""The list of the built-in experiments. Each has a file with the claims of a paper and how they are played."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .cgd_bilinear import CgdBilinear
from .icr_quadratic import IcrQuadratic
from .num_lemmas import NumLemmas

ICR = "Schäfer, Zheng, Anandkumar 2020, arXiv 1910.05852"
NUM = "Mescheder, Nowozin, Geiger 2017, arXiv 1705.10461"


@hookimpl
def register_experiments() -> list[Entry]:
    """The built-in experiments."""
    return [
        Entry("icr-quadratic", IcrQuadratic, "the quadratic game: three pairs of step sizes, and y alone",
              ICR + ", eq. 3, Fig. 3 and 6"),
        Entry("num-lemmas", NumLemmas, "eigenvalues under a step, and the lemmas over random matrices",
              NUM + ", Fig. 1, Lemmas 4, 9, 11, Prop. 13"),
        Entry("cgd-bilinear", CgdBilinear, "six methods on the bilinear game of three strengths",
              "Schäfer, Anandkumar 2019, arXiv 1905.12103, section 4"),
    ]  # fmt: skip
