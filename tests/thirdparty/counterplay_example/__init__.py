"""Somebody else's plugins: one of each kind, and a command."""

from __future__ import annotations

from dataclasses import dataclass

import click
import torch
from torch import Tensor
from torch.nn.functional import softplus

import counterplay as cp
from counterplay import Batch, Params, option


@dataclass(frozen=True)
class Hamiltonian(cp.Composed):
    """Descend half the squared norm of v: the direction is J^T v."""

    def direction(self, local: cp.LocalGame) -> Params:
        return local.jacobian().rmv(local.gradient())


@dataclass(frozen=True)
class Tempered(cp.Loss):
    """Cross entropy at a temperature."""

    temperature: float = option(2.0, "logits are divided by it")

    def f_fake(self, d: Tensor) -> Tensor:
        return softplus(-d / self.temperature)

    def g_real(self, d: Tensor) -> Tensor:
        return softplus(-d / self.temperature)

    def g_fake(self, d: Tensor) -> Tensor:
        return softplus(d / self.temperature)


@dataclass(frozen=True)
class Anchor(cp.Regularizer):
    """Pulls every player to the origin: weight / 2 |theta|^2."""

    weight: float = option(0.1, "strength of the pull")

    def penalties(self, game: cp.Game, params: Params, batch: Batch) -> dict[str, Tensor]:
        return {i: self.weight / 2 * cp.tree.dot({i: tree}, {i: tree}) for i, tree in params.items()}


@dataclass(frozen=True)
class Saddle(cp.Game):
    """min over x, max over y of s x y."""

    strength: float = option(1.0, "the coupling s")
    players = ("x", "y")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.ones(())} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        f = self.strength * params["x"]["value"] * params["y"]["value"]
        return {"x": f, "y": -f}


@cp.hookimpl
def register_solvers() -> list[cp.Entry]:
    return [cp.Entry("example-hamiltonian", Hamiltonian, "descend half |v|^2", "Mescheder 2017, arXiv 1705.10461")]


@cp.hookimpl
def register_losses() -> list[cp.Entry]:
    return [cp.Entry("example-tempered", Tempered, "cross entropy at a temperature", "Example 2024")]


@cp.hookimpl
def register_regularizers() -> list[cp.Entry]:
    return [cp.Entry("example-anchor", Anchor, "pull to the origin", "Example 2024")]


@cp.hookimpl
def register_games() -> list[cp.Entry]:
    return [cp.Entry("example-saddle", Saddle, "s x y", "Example 2024")]


@cp.hookimpl
def register_commands(group: click.Group) -> None:
    @group.command("example-greet")
    def greet() -> None:
        click.echo("hello from a plugin")

    @group.command("run")
    def run() -> None:
        click.echo("a plugin cannot replace a command")
