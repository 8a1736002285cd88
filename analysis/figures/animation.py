"""The samples of a run, one record after another: as an animated GIF or WebP, or as a folder of PNG files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from ...core.errors import StorageError, UsageError
from ...core.storage.atomic import write_atomic
from ..drawing import names
from ..drawing.style import styled
from ..log.log import Log
from ..optional import need
from . import samples
from .plot import render, require

FRAMES = 200  # at most: of more records, evenly spaced ones
SECONDS, LAST = 0.15, 1.5  # how long a frame is shown, and the last one
DPI = 110
KINDS = {".gif": "GIF", ".webp": "WEBP"}


def animate(log: Log, path: str | Path = "samples.gif") -> Path:
    """Write the samples of one run to ``path``, which ends in .gif or .webp, a frame for each record.

    Raises UsageError if there are none or for another ending, StorageError if the file cannot be written.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise StorageError(f"{path} is a directory; name a file to write to, as in {path / 'samples.gif'}.")
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"No animation can be written as {path.name!r}: end the name in .gif or .webp.")
    require(log, "samples")
    image = need("PIL.Image", "an animation")
    need("matplotlib", "an animation")
    count = log.length("samples")
    rows = np.unique(np.linspace(0, count - 1, min(count, FRAMES)).astype(int)).tolist()
    with styled():
        pictures = [render(drawn, "png", DPI) for drawn in samples.frames(names.shown([log])[0], rows)]
    frames = [image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    kind = KINDS[path.suffix.lower()]
    if kind == "GIF":  # 256 colours a frame; without dithering, which would put grain into grey images
        frames = [frame.quantize(256, dither=image.Dither.NONE) for frame in frames]
    shown = [round(1000 * SECONDS)] * (len(frames) - 1) + [round(1000 * LAST)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=shown, loop=0, lossless=True)
    return write_atomic(path, file.getvalue())


def write_sheets(log: Log, folder: str | Path = "samples") -> Path:
    """Write each record of the samples of one run to ``folder`` as a PNG, named by its step, as step-00001000.png.

    Raises UsageError if there are none, StorageError if the folder or a file cannot be written.
    """
    folder = Path(folder)
    require(log, "samples")
    need("matplotlib", "a figure")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made a folder: {error.strerror}. Name another with -o.") from None
    rows = list(range(log.length("samples")))
    with styled():
        for step, drawn in zip(log["samples/step"], samples.frames(names.shown([log])[0], rows), strict=True):
            write_atomic(folder / f"step-{step:08d}.png", render(drawn, "png", DPI))
    return folder
