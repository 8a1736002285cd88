"""The checks of data sets, on whatever they are given to read: also a check of one's own files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from ..errors import UsageError, UserError
from ..images.dataset import Images, valid_images
from ..registry.registry import make
from .assertions import Broken, Case, Unready, require


def datasets(what: Any) -> Iterator[Case]:
    """The checks of a data set, given by name or as a table of its options, as (label, function) pairs."""

    @cache
    def first() -> Images:
        return _loaded(what)

    def formed() -> str:
        try:
            images = valid_images(first())
        except UsageError as error:
            raise Broken(str(error)) from error
        count = len(images.classes)
        names = ", ".join(images.classes[:10]) + ", …" * (count > 10)
        classes = f"{count} classes ({names})" if count else "without classes"
        return f"{len(images):,} images of {'x'.join(map(str, images.shape))}, {classes}"

    def summed() -> None:
        images = first()
        right = Images.of(images.pixels, images.labels, images.classes).digest
        require(images.digest == right, "digest is not that of these images: make them with Images.of")

    def repeated() -> None:
        images, state = first(), torch.get_rng_state()
        again = _loaded(what)
        require(torch.equal(state, torch.get_rng_state()), "global random numbers were drawn")
        same = torch.equal(images.pixels, again.pixels) and images.classes == again.classes
        require(same and images.digest == again.digest, "loaded again, the images are others")

    yield "images and labels are formed as they should be", formed
    yield "the digest is that of the images", summed
    yield "loaded again, they are the same", repeated


def _loaded(what: Any) -> Images:
    """Load the images. Raises Unready where something that they are read from is missing or damaged."""
    try:
        return make("dataset", what).load()
    except UsageError as error:
        hint = " To check, give options as -o KEY=VALUE." if isinstance(what, str) else ""
        raise Unready(UsageError(f"{error}{hint}")) from error
    except UserError as error:
        raise Unready(error) from error
