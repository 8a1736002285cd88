"""Games of modules for tests."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import prune

import counterplay as cp

from .cases import F64, random


def gan(G, D, batch=4):
    """Least squares, so that nothing is flat; data (B, 1, 4, 4), noise (B, 2)."""

    def losses(nets, b):
        fake = nets["generator"](b["noise"])
        return {
            "generator": ((nets["discriminator"](fake) - 1) ** 2).mean(),
            "discriminator": ((nets["discriminator"](b["real"]) - 1) ** 2).mean()
            + (nets["discriminator"](fake) ** 2).mean(),
        }

    def sample(rng):
        return {
            "real": torch.randn(batch, 1, 4, 4, generator=rng, dtype=F64),
            "noise": torch.randn(batch, 2, generator=rng, dtype=F64),
        }

    return cp.game_from_modules({"generator": G, "discriminator": D}, losses, sample)


def networks(norm1=nn.BatchNorm1d, norm2=nn.BatchNorm2d, **options):
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 8), norm1(8, **options), nn.Tanh(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4)))
    D = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), norm2(2, affine=True, **options), nn.Softplus(), nn.Flatten(), nn.Linear(32, 1)
    )
    for p in [*G.parameters(), *D.parameters()]:
        nn.init.normal_(p, std=0.5)
    return G.double(), D.double()


def played(module, loss=lambda y: y.pow(3).mean(), x=None):
    """A game of one module on fixed data (6, 3)."""
    x = random(6, 3) if x is None else x
    return cp.game_from_modules(
        {"critic": module}, lambda n, b: {"critic": loss(n["critic"](b["x"]))}, lambda rng: {"x": x}
    )


class Activated(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x).sigmoid()


class Conditional(nn.BatchNorm1d):
    def __init__(self):
        super().__init__(3, affine=False)
        self.gain = nn.Embedding(2, 3)

    def forward(self, x):
        return super().forward(x) * self.gain(torch.arange(len(x)) % 2)


class OverRows(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.mT).mT


class Listed(nn.Module):
    """Keeps its own weights in a list and a dict besides, and calls a layer twice."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.weights, self.by_name = [self.l.weight], {"b": self.l.bias}

    def forward(self, x):
        return self.l(self.l(x).tanh()) + torch.stack(self.weights).square().sum() + self.by_name["b"].sum()


class SpectralConv(nn.Linear):
    """Only its name is spectral."""


class Fused(nn.Module):
    """Its list of weights goes through an operation that takes a list."""

    def __init__(self):
        super().__init__()
        self.r = nn.GRU(3, 3)

    def forward(self, x):
        return self.r(x)[0]


def frozen(module):
    module[0].requires_grad_(False)
    return module


MODULES = {
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
    "batch norm in eval mode": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh()).eval(),
    "batch norm without statistics": lambda: nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)
    ).eval(),
    "synchronised batch norm": lambda: nn.Sequential(nn.Linear(3, 3), nn.SyncBatchNorm(3)),
    "subclass with its own forward": lambda: nn.Sequential(nn.Linear(3, 3), Activated(3)),
    "subclass with its own parameters": lambda: nn.Sequential(nn.Linear(3, 3), Conditional()),
    "layer norm over another axis": lambda: nn.Sequential(nn.Linear(3, 3), OverRows(6, elementwise_affine=False)),
    "group norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4)),
    "rms norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.RMSNorm(4)),
    "instance norm in eval mode": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    ).eval(),
    "frozen layer": lambda: frozen(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))),
    "weights in a list": Listed,
    "spectral in name": lambda: SpectralConv(3, 3),
    "spectral norm in eval mode": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)).eval(),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
    "weight norm of another axis": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3), dim=-2),
    "weight norm by a hook": lambda: nn.utils.weight_norm(nn.Linear(3, 3)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(3, 3), "weight", amount=0.5),
    "recurrent": Fused,
    "attention": lambda: nn.TransformerEncoderLayer(3, 1, 5, dropout=0.0),
}
