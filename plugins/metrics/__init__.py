"""The list of the built-in metrics of images."""

from __future__ import annotations

from ...core.registry.hookspecs import Entry, hookimpl
from .fid import Fid
from .inception_score import InceptionScore


@hookimpl
def register_metrics() -> list[Entry]:
    """The built-in metrics."""
    return [
        Entry("fid", Fid, "Fréchet distance of the features of generated and real images",
              "Heusel et al. 2017, arXiv 1706.08500"),
        Entry("inception-score", InceptionScore, "whether each image is of a clear class, and all classes appear",
              "Salimans et al. 2016, arXiv 1606.03498"),
    ]  # fmt: skip
