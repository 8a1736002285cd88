"""Sheets of images: rows of pictures, each enlarged by a whole number, with headings and captions, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from torch import Tensor

from ..errors import UsageError

SMALLEST = 64  # pixels: smaller images are enlarged to at least so many
GAP, LINE, SIZE = 4, 16, 12  # pixels between images, of a line of text, of the font


def sheet(
    images: Tensor,
    headings: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    labels: Sequence[str] = (),
) -> bytes:
    """A PNG of ``images`` (R, K, C, H, W), uint8: grey where C is 1 or 2, else of the first three channels.

    headings  one for each column, above it
    captions  R times K, below each image
    labels    one for each row, left of it

    Raises UsageError without Pillow.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise UsageError("drawing pictures needs Pillow: pip install 'counterplay[data]'.") from None
    rows, columns, channels, height, width = images.shape
    mode, kept = ("RGB", 3) if channels >= 3 else ("L", 1)
    scale = -(-SMALLEST // max(height, width))
    font = ImageFont.load_default(SIZE)
    left = GAP + max((int(font.getlength(text)) + GAP for text in labels), default=0)
    top, below = GAP + LINE * bool(headings), LINE * bool(captions)
    wide, high = width * scale + GAP, height * scale + below + GAP
    canvas = Image.new(mode, (left + columns * wide, top + rows * high), "white")
    draw = ImageDraw.Draw(canvas)
    for k, text in enumerate(headings):
        draw.text((left + k * wide + width * scale / 2, top - LINE / 2), text, "black", font, "mm")
    for n, row in enumerate(images[:, :, :kept].to("cpu")):
        y = top + n * high
        if labels:
            draw.text((GAP, y + height * scale / 2), labels[n], "black", font, "lm")
        for k, one in enumerate(row):
            pixels = one.permute(1, 2, 0).squeeze(-1).contiguous().numpy()
            picture = Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)
            canvas.paste(picture, (left + k * wide, y))
            if captions:
                place = left + k * wide + width * scale / 2, y + height * scale + LINE / 2
                draw.text(place, captions[n][k], "black", font, "mm")
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()
