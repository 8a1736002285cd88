"""Feature extractors by name: the classifier of the data set, and networks in files."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ...core.errors import UsageError
from ...core.images.dataset import Images
from . import classifier, inception
from .extractor import Extractor
from .network_files import read_onnx, read_torchscript


def extractor_of(name: str, real: Images) -> Extractor:
    """The extractor called ``name`` ("classifier", "inception", or a file) for images like those in ``real``.

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
    if name == classifier.NAME:
        return classifier.trained_on(real)
    if name == inception.NAME:
        return inception.read(None)
    path = Path(name).expanduser()
    if path.suffix not in _READERS:
        raise UsageError(
            f"there is no extractor {name!r}: give classifier, inception, or the path of a file: {', '.join(_READERS)}."
        )
    return _READERS[path.suffix](path, real.shape[0])


_READERS: dict[str, Callable[[Path, int], Extractor]] = {
    ".safetensors": classifier.read,
    ".pth": lambda path, channels: inception.read(path),
    ".pt": lambda path, channels: read_torchscript(path),
    ".onnx": lambda path, channels: read_onnx(path),
}
