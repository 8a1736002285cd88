"""A small smooth GAN without batch statistics, in which a sample's gradient is its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import counterplay as cp

from .cases import F64


@dataclass(frozen=True)
class TanhGan(cp.GanGame):
    """D(x) = sum tanh(W x + b), G(z) = A z."""

    loss: cp.GanLoss = cp.make("loss", "wgan")
    players = ("generator", "discriminator")

    def init(self, rng):
        W = torch.randn(4, 3, generator=rng, dtype=F64)
        return {
            "generator": {"A": torch.randn(3, 2, generator=rng, dtype=F64)},
            "discriminator": {"W": W, "b": torch.randn(4, generator=rng, dtype=F64)},
        }

    def sample(self, rng, buffers):
        real = torch.randn(5, 3, generator=rng, dtype=F64)
        return {**buffers, "real": real, "noise": torch.randn(5, 2, generator=rng, dtype=F64)}

    def generate(self, generator, z, batch):
        return z @ generator["A"].T

    def discriminate(self, discriminator, x, batch):
        return torch.tanh(x @ discriminator["W"].T + discriminator["b"]).sum(1)

    def metrics(self, params, batch):
        return {"corner": params["generator"]["A"][0, 0], "loudest": batch["real"].abs().max()}
