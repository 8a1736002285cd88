"""Damage that readers of data sets must get over: it is refused in a sentence, or does not change what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.images.dataset import Images


def refuses(error: type[cp.UserError], words: str, name: str, root: Path, **options: object) -> None:
    """Whether data set ``name`` is refused in these words, from a folder."""
    with pytest.raises(error, match=words):
        cp.make("dataset", name, root=str(root), **options).load()


def damaged(path: Path, load: Callable[[], Images], tries: int = 40) -> None:
    """Cut the file at many places and flip many bytes, those of its head all: a UserError, or whole images.

    A file that was cut is refused, or nothing that matters was cut off.
    """
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    digest = load().digest
    places = {*range(min(len(sound), 40)), *rng.integers(0, len(sound), tries).tolist()}
    for place in sorted(places):
        for data in (sound[:place], sound[:place] + bytes([sound[place] ^ 1 << place % 8]) + sound[place + 1 :]):
            path.write_bytes(data)
            try:
                images = load()
            except cp.UserError as error:
                assert 20 < len(str(error)) < 600 and str(error).endswith("."), error
            else:
                assert len(data) == len(sound) or images.digest == digest, f"cut at {place}, and read"
                assert images.pixels.dtype == torch.uint8
    path.write_bytes(sound)
