"""Pictures, read by Pillow: their centre, as RGB on white, brought to a side by Lanczos' filter.

Pillow's filter is wide enough for the scale at which it makes an image smaller, so that nothing is aliased.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ...core.errors import BadData, UsageError
from .files import refused

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes with no colour


@contextmanager
def pillow() -> Iterator[None]:
    """A block that reads pictures, in which a picture that claims too many pixels is an error.

    Raises UsageError without Pillow.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UsageError("reading pictures needs Pillow: pip install 'counterplay[data]'.") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decoded(file: BinaryIO, path: Path) -> Image:
    """A PNG or JPEG, turned upright. Raises BadData, also for a picture of more pixels than Pillow allows."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    with refused(path):
        try:
            image = Image.open(file, formats=("PNG", "JPEG"))
        except UnidentifiedImageError:
            raise BadData(f"{path} is neither PNG nor JPEG, or its head is damaged.") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise BadData(
                f"{path} claims more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels, the most that are unpacked of a "
                "picture that anyone may have made. Make it smaller, or take it out."
            ) from None
        return ImageOps.exif_transpose(image)


def decoded_bytes(data: bytes, path: Path) -> Image:
    """The picture that a file contains, as `decoded`."""
    return decoded(io.BytesIO(data), path)


def squared(image: Image, side: int, crop: int | None = None) -> Tensor:
    """The centre of a picture, uint8 (3, side, side), on white where it is transparent.

    ``crop`` is the side of the square around the centre, white beyond the picture; None: the largest in it.
    """
    from PIL import Image as pil

    whole = _opaque(image)
    cut = min(whole.size) if crop is None else crop
    left, top = ((length - cut) // 2 for length in whole.size)
    square = pil.new("RGB", (cut, cut), "white")
    square.paste(whole, (-left, -top))
    square = square.resize((side, side), pil.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def _opaque(image: Image) -> Image:
    from PIL import Image as pil

    if image.mode.startswith("I"):  # greys of 16 bits, of which Pillow would keep the low ones
        return pil.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = pil.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")
