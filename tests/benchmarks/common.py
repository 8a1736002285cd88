"""What benchmarks share: the CIFAR-10 networks, as a game of ours and as modules, and the record."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.games.networks.layers import BatchNorm, Conv, ConvT, Linear, leaky_relu, relu, reshape, tanh
from counterplay.games.networks.sequential import Sequential

RECORD = Path(__file__).with_name("record.jsonl")


@dataclass(frozen=True)
class Case:
    """One GAN twice: as a game of ours, and as modules for the loop by hand."""

    name: str
    game: cp.Game
    generator: nn.Module
    discriminator: nn.Module
    sample: Callable[[torch.Generator], tuple[Tensor, Tensor]]
    steps: int


def cifar(zero_sum: bool = False) -> Case:
    """The networks of Schäfer et al. (2020, arXiv 1910.05852), Tables 4-5, batch 64, on synthetic images.

    The losses are the non-saturating ones, or with ``zero_sum`` the generator's is the opposite of the other's.
    """
    G = Sequential((
        Linear(128, 256 * 16), BatchNorm(256 * 16), relu, reshape(256, 4, 4),
        ConvT(256, 128, 4, 2, 1), BatchNorm(128), relu, ConvT(128, 64, 4, 2, 1), BatchNorm(64), relu,
        ConvT(64, 3, 4, 2, 1), tanh,
    ))  # fmt: skip
    D = Sequential((
        Conv(3, 64, 4, 2, 1), leaky_relu, Conv(64, 128, 4, 2, 1), leaky_relu, Conv(128, 256, 4, 2, 1), leaky_relu,
        reshape(256 * 16), Linear(256 * 16, 1),
    ))  # fmt: skip
    generator = nn.Sequential(
        nn.Linear(128, 256 * 16), nn.BatchNorm1d(256 * 16), nn.ReLU(), nn.Unflatten(1, (256, 4, 4)),
        nn.ConvTranspose2d(256, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(256 * 16, 1),
    )  # fmt: skip
    images = torch.rand(512, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def draw(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        return images[torch.randint(512, (64,), generator=rng)], torch.randn(64, 128, generator=rng)

    def losses(p: cp.Params, batch: cp.Batch) -> dict[str, Tensor]:
        d_fake = D(p["discriminator"], G(p["generator"], batch["noise"]))
        d_real = D(p["discriminator"], batch["real"])
        loss = softplus(-d_real).mean() + softplus(d_fake).mean()
        return {"generator": -loss if zero_sum else softplus(-d_fake).mean(), "discriminator": loss}

    game = cp.game_from_losses(
        losses,
        lambda rng: {"generator": G.init(rng), "discriminator": D.init(rng)},
        lambda rng: dict(zip(("real", "noise"), draw(rng), strict=True)),
        zero_sum=zero_sum,
    )
    return Case("cifar", game, generator, discriminator, draw, 12)


def keep(benchmark: str, figures: dict[str, float]) -> None:
    """Append a line to the record: what, when, where, with which versions, how much."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = f"{torch.get_num_threads()} of torch's threads"
    line = {
        "benchmark": benchmark,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {threads}{gpu}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "counterplay": cp.__version__},
        "figures": {k: round(v, 4) for k, v in figures.items()},
    }
    with open(RECORD, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
