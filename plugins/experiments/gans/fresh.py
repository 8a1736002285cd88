"""New discriminators against the generators of a run: all of them learn at once, each against a generator of its own.

Their hidden layers are those of a classifier of the data, or as they are drawn; their last layer is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy, softplus

from ....core.game.game import innermost
from ....core.game.tree import Tree
from ....core.images.dataset import to_floats
from ....core.registry.build import rebuild
from ....core.storage.checkpoint_files import load_params, saved_steps
from ....core.storage.run_directory import RunDirectory

BODIES = {"classifier": "the hidden layers of a classifier", "random": "random hidden layers"}
BATCH, CLASSIFIER_LR, LOOKS = 64, 1e-3, 6
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How long a classifier is trained, in epochs, and how a new discriminator learns."""

    epochs: int
    lr: float
    steps: int


@dataclass(frozen=True)
class Learnt:
    """What new discriminators have learnt.

    steps     (looks,) of the run's generators
    accuracy  by the kind of hidden layers: (looks, members, steps + 1) before each step, and a note
    """

    steps: Array
    accuracy: Mapping[str, tuple[Array, str]]


@lru_cache(maxsize=4)
def learn(run: Path, plan: Plan) -> Learnt:
    """Train a new discriminator against each generator in the checkpoints of a run, but not against the first."""
    saved, asked = saved_steps(run)[1:], RunDirectory(run).run()
    device = torch.device(asked["experiment"].get("device") or "cpu")
    game: Any = innermost(rebuild(asked["experiment"])[0])
    members = asked["settings"].get("members")
    at = [saved[k] for k in np.unique(np.linspace(0, len(saved) - 1, min(LOOKS, len(saved))).astype(int))]
    points = [load_params(run, step)["generator"] for step in at]
    points = points if members else [{k: x[None] for k, x in tree.items()} for tree in points]
    generators = {k: torch.stack([tree[k] for tree in points]).to(device) for k in points[0]}  # (looks, members, ...)
    first = stacked([game.first_discriminator(torch.Generator().manual_seed(m)) for m in range(members or 1)], device)
    body, right = classifiers(game, first, plan)
    note = f"; the classifiers are right in {right:.0%} of the images"
    accuracy = {
        "classifier": (against(game, generators, body, plan), note),
        "random": (against(game, generators, first, plan), ""),
    }
    return Learnt(np.array(at, dtype=float), accuracy)


def classifiers(game: Any, first: Tree, plan: Plan) -> tuple[Tree, float]:
    """Discriminators (members, ...) whose hidden layers were trained to tell the classes, and how well they do.

    The latter is the share of images of the last epoch whose class they tell.
    """
    D, images = game.discriminator, game.images
    rng = torch.Generator().manual_seed(0)
    like = next(iter(first.values()))
    device, members = like.device, len(like)
    head = like.new_zeros(members, D.width, len(images.classes))
    trained = {k: x.clone().requires_grad_() for k, x in first.items()}
    head.requires_grad_()
    optimizer = torch.optim.Adam([*trained.values(), head], lr=CLASSIFIER_LR)
    features = vmap(D.features)
    right: list[float] = []
    for _ in range(plan.epochs):
        right.clear()
        for chosen in torch.randperm(len(images), generator=rng).split(BATCH):
            x = to_floats(images.pixels[chosen].to(device))
            y = images.labels[chosen].to(device)
            logits = features(trained, x.expand(members, *x.shape)) @ head  # (members, B, classes)
            loss = cross_entropy(logits.flatten(0, 1), y.repeat(members)) * members
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right.append(float((logits.argmax(-1) == y).float().mean()))
    return {k: x.detach() for k, x in trained.items()}, float(np.mean(right))  # the last layer had no gradient


def against(game: Any, generators: Tree, first: Tree, plan: Plan) -> Array:
    """The accuracy (looks, members, steps + 1) of discriminators that all begin as ``first`` (members, ...)."""
    looks, members = next(iter(generators.values())).shape[:2]
    device = next(iter(first.values())).device
    rng = torch.Generator().manual_seed(1)
    D = {k: x.expand(looks, *x.shape).clone().requires_grad_() for k, x in first.items()}
    optimizer = torch.optim.Adam(D.values(), lr=plan.lr, betas=(0.5, 0.999))
    generate, tell = twice(game.generator), twice(game.discriminator)
    accuracy = np.zeros((looks, members, plan.steps + 1))
    for step in range(plan.steps + 1):  # of a seed all looks see the same images and the same noise
        chosen = torch.randint(len(game.images), (members, BATCH), generator=rng)
        real = to_floats(game.images.pixels[chosen.flatten()].to(device)).unflatten(0, (members, BATCH))
        z = torch.randn(members, BATCH, game.noise_size, generator=rng, dtype=torch.float32).to(device)
        with torch.no_grad():
            fake = generate(generators, z.expand(looks, *z.shape))
        d_real, d_fake = tell(D, real.expand(looks, *real.shape))[..., 0], tell(D, fake)[..., 0]
        accuracy[..., step] = share_right(d_real, d_fake).cpu().numpy()
        loss = (softplus(-d_real) + softplus(d_fake)).mean(-1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return accuracy


def twice(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``f(parameters, x)`` over looks and members."""
    return vmap(vmap(f))


def share_right(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """The share of images that logits (..., B) put on the right side of 0."""
    return ((d_real > 0).float().mean(-1) + (d_fake < 0).float().mean(-1)) / 2


def stacked(trees: list[Tree], device: torch.device) -> Tree:
    """Parameters of several members, with a leading axis."""
    return {k: torch.stack([tree[k] for tree in trees]).to(device) for k in trees[0]}


def spearman(a: Array, b: Array) -> float:
    """The correlation of the ranks of numbers (n,) and (n,); those that are equal share the mean of their ranks."""
    ranks = [((x[:, None] > x) + (x[:, None] == x) / 2).sum(1) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
