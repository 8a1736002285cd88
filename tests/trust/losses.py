"""Losses and data of the trust suite. ``losses(nets, batch)`` is plain torch: the reference calls the same function.

The twists say what is done with the last player's loss; they fall into the three classes of ``layers``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BATCH, DIM = 5, 2

Nets = Mapping[str, Callable[[Tensor], Tensor]]
Losses = Callable[[Nets, Mapping[str, Any]], dict[str, Tensor]]


def rows(value: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """(generator on fake, discriminator on real, discriminator on fake), elementwise in the logits."""
    return {
        "wgan": (lambda d: -d, lambda d: -d, lambda d: d),
        "saturating": (lambda d: F.logsigmoid(-d), lambda d: -F.logsigmoid(d), lambda d: -F.logsigmoid(-d)),
        "non-saturating": (lambda d: -F.logsigmoid(d), lambda d: -F.logsigmoid(d), lambda d: -F.logsigmoid(-d)),
        "least-squares": (lambda d: (d - 1) ** 2, lambda d: (d - 1) ** 2, lambda d: d**2),
        "bce": (
            lambda d: F.binary_cross_entropy_with_logits(d, torch.ones_like(d), reduction="none"),
            lambda d: F.binary_cross_entropy_with_logits(d, torch.ones_like(d), reduction="none"),
            lambda d: F.binary_cross_entropy_with_logits(d, torch.zeros_like(d), reduction="none"),
        ),
        "huber": (
            lambda d: F.huber_loss(d, torch.full_like(d, 3.0), reduction="none"),
            lambda d: F.smooth_l1_loss(d, torch.full_like(d, 4.0), reduction="none"),
            lambda d: F.mse_loss(d, torch.zeros_like(d), reduction="none"),
        ),
    }[value]


GAN_LOSSES = ("wgan", "saturating", "non-saturating", "least-squares", "bce", "huber")
NAMED_LOSSES = ("wgan", "saturating", "non-saturating")  # those that are plugins


def gan(kind: str, twist: str) -> Losses:
    """Losses of a generator and a discriminator; ``twist`` bends what the discriminator gets or gives."""
    g_fake, d_real, d_fake = rows(kind)

    def losses(nets: Nets, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        G, D = nets["generator"], nets["discriminator"]
        x, z = batch["x"], batch["z"]
        fake = G(z)
        real, seen = D(x).squeeze(1), D(fake).squeeze(1)
        shown = D(cut(twist, fake, lambda: G(z))).squeeze(1) if twist in CUTS else seen
        loss = d_real(bent(twist, real)).mean() + d_fake(bent(twist, shown)).mean()
        loss = loss + 0.1 * shown.square().mean() + penalty(twist, D, x)
        return finished(twist, batch, {"generator": g_fake(seen).mean(), "discriminator": loss})

    return losses


def ring(players: tuple[str, ...], twist: str) -> Losses:
    """General-sum losses of any number of players, each a net (B, DIM) -> (B, 1), coupled in a ring."""

    def losses(nets: Nets, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        out = {i: nets[i](batch["x"]) for i in players}
        again = {i: nets[i](batch["z"]) for i in players}
        loss = {}
        for n, i in enumerate(players):
            other = players[(n + 1) % len(players)]
            last = i == players[-1]
            there = out[other]
            if last and twist in CUTS:
                there = cut(twist, there, lambda other=other: nets[other](batch["x"]))
            mine = bent(twist, out[i]) if last else out[i]
            loss[i] = (mine * there).tanh().mean() + (0.3 + 0.2 * n) * (again[i] - batch["x"][:, :1]).square().mean()
            loss[i] = loss[i] + 0.1 * (again[i] * again[other]).square().mean()
        i = players[-1]
        return finished(twist, batch, {**loss, i: loss[i] + penalty(twist, nets[i], batch["x"])})

    return losses


CUTS = ("detach", "data", "no_grad", "item")


def cut(twist: str, x: Tensor, again: Callable[[], Tensor]) -> Tensor:
    """What is shown of ``x`` to the last player."""
    if twist == "no_grad":
        with torch.no_grad():
            return again()
    if twist == "item":
        return x * x.mean().item()
    return x.data if twist == "data" else x.detach()


RNG = torch.Generator().manual_seed(0)

BENT: dict[str, Callable[[Tensor], Tensor]] = {
    "detached factor": lambda x: x * x.detach(),
    "detached norm": lambda x: x / (1 + x.detach().norm()),
    "clamped": lambda x: x.clamp(-5, 5),
    "where": lambda x: torch.where(x.detach() > 0, x, 0.5 * x),
    "fixed generator": lambda x: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x),
    "F.dropout": lambda x: F.dropout(x, 0.5),
    "rand_like": lambda x: x + 0.1 * torch.rand_like(x),
    "randn": lambda x: x + 0.1 * torch.randn(x.shape),
    "gumbel": lambda x: F.gumbel_softmax(x.reshape(1, -1)).reshape(x.shape) + x,
    "bernoulli": lambda x: x * torch.bernoulli(torch.sigmoid(x).detach()),
    "python random": lambda x: x * (1 + random.random()),
    "numpy random": lambda x: x * (1 + float(np.random.rand())),
    "own generator": lambda x: x + torch.randn(x.shape, generator=RNG).to(x),
}


def bent(twist: str, x: Tensor) -> Tensor:
    return BENT[twist](x) if twist in BENT else x


def penalty(twist: str, net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor | float:
    """The mean squared gradient of a net in its input."""
    if twist == "penalty by torch.func":
        return torch.func.grad(lambda x: net(x).sum())(x).square().sum(1).mean()
    if twist == "penalty by autograd":
        here = x.detach().clone().requires_grad_()
        return torch.autograd.grad(net(here).sum(), here, create_graph=True)[0].square().sum(1).mean()
    return 0.0


CALLS = [0]
SCHEDULE = [1.0]  # what an observer of the run moves from step to step


def finished(twist: str, batch: Mapping[str, Any], losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """All losses times the batch's own number and its age; what a twist does to the last one as a whole."""
    i = list(losses)[-1]
    age = batch.get("age", 0.0)
    factor = batch.get("factor", 1.0) * (1 + 0.1 * (age["steps"] if isinstance(age, Mapping) else age))
    losses = {j: x * factor for j, x in losses.items()}
    if twist == "counted":
        CALLS[0] += 1
        losses[i] = losses[i] * (1 + 0.1 * CALLS[0])
    if twist == "scheduled":
        losses[i] = losses[i] * SCHEDULE[0]
    if twist == "labels":
        losses[i] = losses[i] * (0.5 + F.one_hot(batch["label"], 3).to(losses[i].dtype)[:, 0].mean())
    if twist == "detached loss":
        losses[i] = losses[i] / (1 + losses[i].detach().abs())
    if twist == "item of the loss":
        losses[i] = losses[i] / (1 + abs(losses[i].item()))
    return losses


MUST = (
    "none", "detach", "no_grad", "detached factor", "detached norm", "clamped", "where", "detached loss",
    "penalty by torch.func", "labels",
)  # fmt: skip
MAY = ("scheduled", "data", "item", "item of the loss", "fixed generator", "penalty by autograd", "counted")
RANDOM = ("F.dropout", "rand_like", "randn", "gumbel", "bernoulli", "python random", "numpy random", "own generator")
CUTTING = (*CUTS, "detached factor", "detached norm", "detached loss", "item of the loss", "where")


# -------------------------------------------------------------------------------------------------------------- data


def drawn(rng: torch.Generator, dtype: torch.dtype) -> dict[str, Any]:
    label = torch.randint(0, 3, (BATCH,), generator=rng)
    return {**{k: torch.randn(BATCH, DIM, generator=rng, dtype=dtype) for k in ("x", "z")}, "label": label}


def sampler(kind: str, dtype: torch.dtype) -> Callable[[torch.Generator], dict[str, Any]]:
    """A function of a generator that draws a batch, in one of the ways in which people write one."""
    fixed = drawn(torch.Generator().manual_seed(5), dtype)
    if kind == "constant":
        return lambda rng: fixed
    if kind == "number":
        return lambda rng: {**drawn(rng, dtype), "factor": 0.5 + float(torch.rand((), generator=rng))}
    if kind == "array":
        return lambda rng: {**drawn(rng, dtype), "factor": np.float64(0.5 + float(torch.rand((), generator=rng)))}
    if kind == "tensor":
        return lambda rng: {**drawn(rng, dtype), "factor": 0.5 + torch.rand((), generator=rng, dtype=dtype)}
    if kind == "global":
        return lambda rng: {**drawn(rng, dtype), "x": torch.randn(BATCH, DIM, dtype=dtype)}
    if kind == "numpy":
        return lambda rng: {**drawn(rng, dtype), "x": torch.from_numpy(np.random.randn(BATCH, DIM)).to(dtype)}
    if kind == "iterator":
        batches = (drawn(torch.Generator().manual_seed(n), dtype) for n in itertools.count())
        return lambda rng: next(batches)
    if kind == "loader":
        data = torch.randn(BATCH * 50, DIM, generator=torch.Generator().manual_seed(1), dtype=dtype)
        parts = iter(data.split(BATCH))
        return lambda rng: {**drawn(rng, dtype), "x": next(parts)}
    return lambda rng: drawn(rng, dtype)


DATA_MUST = ("generator", "constant", "number", "tensor")
DATA_MAY = ("array",)
DATA_RANDOM = ("global", "numpy", "iterator", "loader")
