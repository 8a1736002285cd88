"""How far a discriminator has moved from that of a checkpoint: in its weights, and in what it says of reference images.

The references are 500 real images and 500 that the checkpoint's generator makes, the same at every step.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), A.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....core.game.game import innermost
from ....core.game.tree import Params, Tree
from ....core.images.dataset import to_floats
from ....core.registry.build import rebuild
from ....core.storage.checkpoint_files import load_params, saved_steps
from ....core.storage.run_directory import RunDirectory

COUNT = 500
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """Along a run, from the checkpoint that it started from, for each member.

    steps    (K,) of the run's checkpoints
    real     (K, members) Euclidean distance of the logits on the real references from those of the checkpoint
    fake     the same on the generated ones
    weights  (K, members) Euclidean distance of all weights of the discriminator
    """

    steps: Array
    real: Array
    fake: Array
    weights: Array


def drift_of(log: Any) -> Drift:
    """The drift of the discriminator over the checkpoints of a run of an ensemble; its first one is the reference.

    ``log`` is the :class:`RunLog` of the run, whose directory has the checkpoints.
    """
    return _drift(log.path)


@lru_cache(maxsize=16)
def _drift(run: Path) -> Drift:
    steps, asked = saved_steps(run), RunDirectory(run).run()
    game: Any = innermost(rebuild(asked["experiment"])[0])
    members = asked["settings"].get("members") or 1
    points = [load_params(run, step) for step in steps]
    first = [member(points[0], m) for m in range(members)]
    rng = torch.Generator().manual_seed(0)
    pixels = game.images.pixels
    real = to_floats(pixels[torch.randperm(len(pixels), generator=rng)[:COUNT]])
    noise = game.noise(rng, COUNT)
    fakes = [game.generate(own["generator"], noise, {}) for own in first]
    found = np.zeros((3, len(steps), members))
    for m, (own, fake) in enumerate(zip(first, fakes, strict=True)):
        for k, point in enumerate(points):
            D, D_c = member(point, m)["discriminator"], own["discriminator"]
            for n, images in enumerate((real, fake)):
                found[n, k, m] = _distance(game.discriminate(D, images, {}), game.discriminate(D_c, images, {}))
            found[2, k, m] = float(np.hypot.reduce([_distance(D[name], D_c[name]) for name in D]))
    return Drift(np.array(steps, dtype=float), *found)


def member(params: Params, m: int) -> dict[str, Tree]:
    """The parameters of one member of an ensemble."""
    return {i: {name: x[m] for name, x in tree.items()} for i, tree in params.items()}


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.detach().double() - b.detach().double()).norm())
