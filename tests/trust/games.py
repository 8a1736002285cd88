"""How a case is given to counterplay: by modules, by losses, as a game or as a GAN game of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

import counterplay as cp

from . import losses

if TYPE_CHECKING:
    from .built import Built

LISTED = {"listed weights", "tabled weights", "lazy norm"}  # which a user's functional_call does not reach


@dataclass(frozen=True)
class Recorded:
    """A sampler that remembers all it has drawn; what it remembers is no part of what it is."""

    of: Callable[[torch.Generator], dict[str, Any]]
    drawn: list[dict[str, Any]] = field(default_factory=list, compare=False)

    def __call__(self, rng: torch.Generator) -> dict[str, Any]:
        self.drawn.append(self.of(rng))
        return dict(self.drawn[-1])

    def like(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What was drawn from the last batch that has the numbers of ``batch`` on."""
        for n in reversed(range(len(self.drawn))):
            if torch.equal(self.drawn[n]["x"], batch["x" if "x" in batch else "real"]):
                return self.drawn[n:]
        return []


def trainable(module: nn.Module) -> dict[str, Tensor]:
    return {k: p for k, p in module.named_parameters() if p.requires_grad}


def called(modules: Mapping[str, nn.Module], params: cp.Params) -> dict[str, Callable[..., Any]]:
    return {i: lambda x, i=i: functional_call(modules[i], params[i], (x,)) for i in modules}


def gan_losses(kind: str) -> losses.Losses:
    """What a GanGame plays, in plain torch."""
    g_fake, d_real, d_fake = losses.rows(kind)

    def of(nets: losses.Nets, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        G, D = nets["generator"], nets["discriminator"]
        real, fake = D(batch["real"]).squeeze(1), D(G(batch["noise"])).squeeze(1)
        g_real = {"wgan": lambda d: d, "saturating": torch.nn.functional.logsigmoid}.get(kind)
        generator = g_fake(fake).mean() + (g_real(real).mean() if g_real else 0.0)
        return {"generator": generator, "discriminator": d_real(real).mean() + d_fake(fake).mean()}

    return of


AGES: dict[str, Callable[[], Any]] = {  # what a game of one's own keeps between steps, and counts up
    "none": lambda: None,
    "tensor": lambda: torch.zeros((), dtype=torch.float64),
    "number": lambda: 0,
    "nested": lambda: {"steps": torch.zeros((), dtype=torch.float64)},
    "nested number": lambda: {"steps": 0.0},
}


@dataclass(frozen=True)
class Own(cp.Game):
    """A subclass as one writes it."""

    modules: dict[str, nn.Module] = field(repr=False)
    of: losses.Losses
    draw: Recorded
    players: tuple[str, ...] = ()
    age: str = "none"

    def buffers(self, rng: torch.Generator) -> dict[str, Any]:
        return {} if self.age == "none" else {"age": AGES[self.age]()}

    def refresh(self, params: cp.Params, buffers: dict[str, Any]) -> dict[str, Any]:
        return {k: {"steps": x["steps"] + 1} if isinstance(x, dict) else x + 1 for k, x in buffers.items()}

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {k: p.detach().clone() for k, p in trainable(m).items()} for i, m in self.modules.items()}

    def sample(self, rng: torch.Generator, buffers: dict[str, Any]) -> cp.Batch:
        return {**buffers, **self.draw(rng)}

    def losses(self, params: cp.Params, batch: cp.Batch) -> dict[str, Tensor]:
        return self.of(called(self.modules, params), batch)


@dataclass(frozen=True)
class OwnGan(cp.GanGame):
    modules: dict[str, nn.Module] = field(repr=False)
    draw: Recorded
    loss: cp.Loss

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {k: p.detach().clone() for k, p in trainable(m).items()} for i, m in self.modules.items()}

    def sample(self, rng: torch.Generator, buffers: dict[str, Any]) -> cp.Batch:
        drawn = self.draw(rng)
        return {**buffers, "real": drawn["x"], "noise": drawn["z"]}

    def generate(self, generator: cp.Tree, z: Tensor, batch: cp.Batch) -> Tensor:
        return functional_call(self.modules["generator"], generator, (z,))

    def discriminate(self, discriminator: cp.Tree, x: Tensor, batch: cp.Batch) -> Tensor:
        return functional_call(self.modules["discriminator"], discriminator, (x,)).squeeze(1)


def game(built: Built) -> cp.Game:
    """The case's game, in its form."""
    c, modules = built.case, built.modules()
    if c.form == "modules":
        return cp.game_from_modules(modules, built.of, built.sample)
    if c.form == "losses":
        start = {i: {k: p.detach().clone() for k, p in trainable(m).items()} for i, m in modules.items()}
        return cp.game_from_losses(lambda p, batch: built.of(called(modules, p), batch), start, built.sample)
    if c.form == "game":
        return Own(modules, built.of, built.sample, c.players, c.age)
    loss: Any = cp.make("loss", c.loss)
    return OwnGan(modules, built.sample, loss)
