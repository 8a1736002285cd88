"""The emoji of the font Noto Color Emoji: a toy of colour images that many machines have.

The font (Google, SIL Open Font License 1.1) contains a PNG for each emoji, in its table CBDT. They are put on a white
square and brought to one side by Lanczos' filter; of equal ones, one is kept. Flags, skin tones and families are many.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import Count, option
from .files import opened, refused, take_all
from .pictures import decoded_bytes, pillow, squared

DEBIAN = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
MOST, LARGEST = 1 << 26, 1024  # bytes of the font, pixels of a side of its pictures
TRUETYPE = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class Emoji(Dataset):
    """Without labels, in the order of the font's glyphs."""

    file: str = option(DEBIAN, "NotoColorEmoji.ttf; the default is that of Debian's fonts-noto-color-emoji")
    side: Count = option(32, "pixels of a side of the images that are made")

    def load(self) -> Images:
        path = Path(self.file).expanduser()
        with opened(path, "NotoColorEmoji.ttf, as in Debian's fonts-noto-color-emoji, as file") as file:
            pictures = _pictures(bytes(take_all(file, MOST, path)), path)
        made = {}
        with pillow(), refused(path):
            for data in pictures:
                image = decoded_bytes(data, path)
                if max(image.size) > LARGEST:
                    raise BadData(f"{path} has a picture of {image.width}x{image.height} pixels; an emoji has fewer.")
                pixels = squared(image, self.side, max(image.size))
                made[pixels.numpy().tobytes()] = pixels
        return Images.of(torch.stack([*made.values()]), source=f"{len(made):,} distinct glyphs of {path.name}")


def _pictures(font: bytes, path: Path) -> list[bytes]:
    """The PNGs in a font, in the order of its glyphs. Raises UsageError without fontTools, BadData."""
    try:
        from fontTools.ttLib import TTFont
    except ImportError:
        raise UsageError("data set emoji needs fontTools: pip install 'counterplay[data]'.") from None
    if not font.startswith(TRUETYPE):
        raise BadData(f"{path} is no TrueType font; NotoColorEmoji.ttf is expected.")
    with refused(path):
        tables = TTFont(io.BytesIO(font), lazy=True)
        if "CBDT" not in tables:
            raise BadData(f"{path} is a font without colour pictures (table CBDT); NotoColorEmoji.ttf is expected.")
        glyphs: dict[str, Any] = max(tables["CBDT"].strikeData, key=len, default={})
        found = [bytes(glyphs[name].imageData) for name in tables.getGlyphOrder() if name in glyphs]
    if not found:
        raise BadData(f"{path} has no pictures in its table CBDT; NotoColorEmoji.ttf is expected.")
    return found
