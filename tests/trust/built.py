"""What a user would have written for a case: nets, losses, data, the game, the solver and the regularizers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

import counterplay as cp

from . import games, layers, losses
from .grammar import Case

WEIGHTS = {
    "l2": {"weight": 0.1},
    "r1": {"gamma": 1.0},
    "gradient-penalty": {"weight": 1.0},
    "consensus": {"gamma": 0.3},
}


class Net(nn.Module):
    """first, activation, the layers of a stack, activation, last."""

    def __init__(self, stack: tuple[str, ...], activation: str, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(losses.DIM, layers.WIDTH)
        self.inner = nn.ModuleList(layers.LAYERS[name]() for name in stack)
        self.last = nn.Linear(layers.WIDTH, out)
        self.activation = layers.ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first(x))
        for layer in self.inner:
            x = layer(x)
        return self.last(self.activation(x))


@dataclass(frozen=True)
class Built:
    """What a user would have written for ``case``."""

    case: Case

    @property
    def dtype(self) -> torch.dtype:
        return getattr(torch, self.case.dtype)

    def modules(self, dtype: torch.dtype | None = None) -> dict[str, nn.Module]:
        """Fresh modules, the same each time."""
        c = self.case
        state = torch.get_rng_state()
        torch.manual_seed(c.number)
        nets: dict[str, nn.Module] = {}
        for i, stack in zip(c.players, c.stacks, strict=True):
            nets[i] = Net(stack, c.activation, losses.DIM if i == "generator" else 1)
        if c.tie:
            nets[c.players[1]].first = nets[c.players[0]].first
        if c.freeze:
            nets[c.players[0]].first.requires_grad_(False)
        torch.set_rng_state(state)
        return {i: net.to(dtype or self.dtype) for i, net in nets.items()}

    @cached_property
    def of(self) -> losses.Losses:
        c = self.case
        if c.form == "gan":
            return games.gan_losses(c.loss)
        return losses.gan(c.loss, c.twist) if c.players[0] == "generator" else losses.ring(c.players, c.twist)

    @cached_property
    def sample(self) -> games.Recorded:
        return games.Recorded(losses.sampler(self.case.data, self.dtype))

    @cached_property
    def game(self) -> cp.Game:
        return games.game(self)

    @cached_property
    def solver(self) -> cp.Solver:
        options = dict(self.case.options)
        if self.case.rule != "sgd":
            options["rule"] = self.case.rule
        if "solver" in options:
            options["solver"] = {"name": options["solver"]}
        return cp.make("solver", self.case.solver, **options)

    @cached_property
    def regularizers(self) -> list[cp.Regularizer]:
        name = self.case.regularizer
        if name == "none":
            return []
        options: dict[str, Any] = dict(WEIGHTS.get(name, {}))
        if name in ("l2", "spectral-norm"):
            options["player"] = self.case.players[-1]
        return [cp.make("regularizer", name, **options)]
