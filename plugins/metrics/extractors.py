"""Feature extractors by name: the classifier of the data set, and networks in files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...core.errors import UsageError
from ...core.images.dataset import Images
from . import classifier
from .extractor import Extractor


def extractor_of(name: str, real: Images) -> Extractor:
    """The extractor called ``name`` ("classifier", or a file) for images like those in ``real``.

    It is made once in a process. Raises UsageError if it does not suit the images, BadData for a damaged file.
    """
    made = _known(real.digest)
    if name not in made:
        made[name] = _make(name, real)
    return made[name]


@lru_cache(maxsize=8)
def _known(digest: str) -> dict[str, Extractor]:
    """The extractors made for a data set, by name."""
    return {}


def _make(name: str, real: Images) -> Extractor:
    if name == "classifier":
        return classifier.trained_on(real)
    path = Path(name).expanduser()
    if path.suffix == ".safetensors":
        return classifier.read(path, real.shape[0])
    raise UsageError(
        f"there is no extractor {name!r}: give classifier, or the path of a file .safetensors of a classifier."
    )
