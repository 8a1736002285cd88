"""The checks of a metric: its figures, their repetition, what is recorded beside them, and what they tell apart.

They are made on small images of two classes. A metric with an option ``samples`` generates as many as there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..images.dataset import Images, to_floats
from ..images.metric import GeneratedImages, Metric
from ..log.schema import Variable
from ..options import options_of
from ..registry.registry import find, make
from .assertions import Case, require

COUNT, SIDE, BLOCK = 60, 8, 25
_NEEDED = {"extractor": str, "extractor_sha256": str, "samples": int}


def metrics(what: Any) -> Iterator[Case]:
    """The checks of the metric named ``what``, as (label, function) pairs."""

    def figures() -> None:
        metric = _made(what)
        require(metric.figures and len(set(metric.figures)) == len(metric.figures), "it names no figures, or one twice")
        for name in metric.figures:
            Variable(name, ("metrics",), "<f8", name)  # raises UsageError for a name that a log cannot hold
            require(name != "step", "a figure is called step, as the steps in the log are")
        found = metric.measure(_generating(to_floats(_real().pixels)), _real())
        require(set(found) == set(metric.figures), f"it names the figures {metric.figures} and gives {tuple(found)}")
        numbers = all(isinstance(x, float) for x in found.values())
        require(
            numbers and all(map(math.isfinite, found.values())), f"of real images not all figures are finite: {found}"
        )

    def repeated() -> None:
        metric, images, state = _made(what), _noise(), torch.get_rng_state()
        first = metric.measure(_generating(images), _real())
        require(
            torch.equal(state, torch.get_rng_state()), "global random numbers were drawn: use a generator of its own"
        )
        again = metric.measure(_generating(images), _real())
        require(first == again, f"the same images gave {first}, and then {again}")

    def recorded() -> None:
        about = _made(what).provenance(_real())
        missing = [name for name, kind in _NEEDED.items() if not isinstance(about.get(name), kind)]
        require(not missing, f"its provenance lacks {', '.join(missing)}")
        simple = [name for name, x in about.items() if not isinstance(x, str | int | float)]
        require(not simple, f"its provenance holds more than text and numbers: {', '.join(simple)}")
        taken = about.keys() & {"long_name", "units", "dimensions", "coordinates", "flag_values", "flag_meanings"}
        require(not taken, f"its provenance uses names of the log's own: {', '.join(sorted(taken))}")

    def tells() -> None:
        metric = _made(what)
        name = metric.figures[0]
        real, noise = (metric.measure(_generating(x), _real())[name] for x in (to_floats(_real().pixels), _noise()))
        better = real > noise if metric.higher_is_better else real < noise
        require(better, f"{name} is {real:.4g} for the real images and {noise:.4g} for noise, which is no better")

    def broken() -> None:
        images = to_floats(_real().pixels)
        images[-1] = math.nan
        found = _made(what).measure(_generating(images), _real())
        finite = [name for name, x in found.items() if math.isfinite(x)]
        require(not finite, f"an image is not finite, and {', '.join(finite)} is a number all the same")

    yield "figures as it names them", figures
    yield "the same images give the same figures", repeated
    yield "what measured it is recorded", recorded
    yield "real images are better than noise", tells
    yield "images that are not finite give NaN", broken


def _made(what: Any) -> Metric:
    table: Mapping[str, Any] = what if isinstance(what, Mapping) else {"name": what}
    known = {o.name for o in options_of(find("metric", table["name"]).factory)}
    made: Metric = make("metric", {**({"samples": COUNT} if "samples" in known else {}), **table})
    return made


def _real() -> Images:
    """Images that are bright on the left (class 0) or on the right (class 1), with some noise."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(COUNT) % 2
    bright = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.int64)
    bright[0, :, :, : SIDE // 2] = bright[1, :, :, SIDE // 2 :] = 150
    noise = torch.randint(0, 100, (COUNT, 1, SIDE, SIDE), generator=rng)
    return Images.of((bright[labels] + noise).to(torch.uint8), labels, ("left", "right"))


def _noise() -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return 2 * torch.rand(COUNT, 1, SIDE, SIDE, generator=rng, dtype=torch.float32) - 1


def _generating(images: Tensor) -> GeneratedImages:
    """A generator of ``images``, again and again."""

    def batches(count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        repeated = images.repeat(-(-count // len(images)), 1, 1, 1)[:count]
        return ((block, None) for block in repeated.split(BLOCK))

    return GeneratedImages(batches)
