"""Games that break one promise each, and the check that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import counterplay as cp


@dataclass(frozen=True)
class Sound(cp.Game):
    """A general-sum game of two players with two numbers each, fit to be broken in one place at a time."""

    strength: float = cp.option(1.5, "of the coupling")
    players = ("x", "y")

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {"w": torch.randn(2, generator=rng)} for i in self.players}

    def losses(self, params: cp.Params, batch: Any) -> dict[str, Tensor]:
        x, y = params["x"]["w"], params["y"]["w"]
        return {"x": self.mixed(x, y) + (x**2).sum(), "y": -self.mixed(x, y) + (y**4).sum() + 0.1 * x.sum() * y.sum()}

    def mixed(self, x: Tensor, y: Tensor) -> Tensor:
        return self.strength * (x * y).sum()


class OneLossOnly(Sound):
    def losses(self, params, batch):
        return {"x": super().losses(params, batch)["x"]}


class VectorLoss(Sound):
    def losses(self, params, batch):
        return {i: x.expand(3) for i, x in super().losses(params, batch).items()}


class InPlace(Sound):
    def losses(self, params, batch):
        params["x"]["w"].mul_(0.99)
        return super().losses(params, batch)


class FixedBatches(Sound):
    def losses(self, params, batch):
        return {i: x + torch.rand(()) for i, x in super().losses(params, batch).items()}


class Remembers(Sound):
    calls = [0]  # noqa: RUF012

    def losses(self, params, batch):
        self.calls[0] += 1
        return {i: x * self.calls[0] for i, x in super().losses(params, batch).items()}


class Unseeded(Sound):
    def init(self, rng):
        return {i: {"w": torch.randn(2)} for i in self.players}


class UnseededBatch(Sound):
    def sample(self, rng, buffers):
        return {"shift": torch.rand(())}


class Detached(Sound):
    def mixed(self, x, y):
        return (x.detach() * x * y).sum()


class Function(torch.autograd.Function):
    """One argument, which its derivative does not look at."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


class Square(Function):
    """x^2 with the right derivative 2 x, which is then taken for a constant."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0].detach() * g


class FirstOrderOnly(Sound):
    def mixed(self, x, y):
        return Square.apply(x).sum() + (x * y).sum()


class Twice(Function):
    """The linear map 2 g, whose derivative is given as 3: a pullback that is no adjoint."""

    @staticmethod
    def forward(g):
        return 2 * g

    @staticmethod
    def backward(ctx, g):
        return 3 * g


class Same(Function):
    """x, pulled back by Twice."""

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return Twice.apply(g)


class Crooked(Function):
    """The sum of squares halved, with gradient Same(x)."""

    @staticmethod
    def forward(x):
        return (x * x).sum() / 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        return g * Same.apply(ctx.saved_tensors[0])


class NoAdjoint(Sound):
    def mixed(self, x, y):
        return Crooked.apply(x) + (x * y).sum()


class Neighbour(Function):
    """The identity, but under vmap every member gets the next one's numbers."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g

    @staticmethod
    def vmap(info, dims, x):
        return x.roll(1, dims[0]), dims[0]


class MixesMembers(Sound):
    def mixed(self, x, y):
        return (Neighbour.apply(x) * y).sum()


class Shrinks(Sound):
    def project(self, params):
        return {i: {k: 0.9 * x for k, x in t.items()} for i, t in params.items()}


class NotZeroSum(Sound):
    zero_sum = True


BROKEN_GAMES = [
    (OneLossOnly, "a scalar loss for each player"),
    (VectorLoss, "a scalar loss for each player"),
    (InPlace, "losses are pure"),
    (FixedBatches, "losses are pure"),
    (Remembers, "losses are pure"),
    (Unseeded, "the seed decides"),
    (UnseededBatch, "the seed decides"),
    (Detached, "gradient against finite differences"),
    (FirstOrderOnly, "Jacobian product against finite differences"),
    (NoAdjoint, "Jacobian product against its adjoint"),
    (NoAdjoint, "dense Jacobian against its products"),
    (MixesMembers, "a member is the run alone"),
    (Shrinks, "a projected point stays"),
    (NotZeroSum, "zero_sum holds"),
]
