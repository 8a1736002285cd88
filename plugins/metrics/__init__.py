"""The list of the built-in metrics of images."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .fid import Fid
from .inception_score import InceptionScore
from .kid import Kid
from .precision_recall import PrecisionRecall


@hookimpl
def register_metrics() -> list[Entry]:
    """The built-in metrics."""
    return [
        Entry("fid", Fid, "Fréchet distance of the features of generated and real images",
              "Heusel et al. 2017, arXiv 1706.08500"),
        Entry("inception-score", InceptionScore, "whether each image is of a clear class, and all classes appear",
              "Salimans et al. 2016, arXiv 1606.03498"),
        Entry("kid", Kid, "squared maximum mean discrepancy of features by a cubic kernel",
              "Bińkowski et al. 2018, arXiv 1801.01401"),
        Entry("precision-recall", PrecisionRecall, "how many images look real, and how much of the real is made",
              "Kynkäänniemi et al. 2019, arXiv 1904.06991"),
    ]  # fmt: skip
