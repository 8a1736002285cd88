"""The published steps, written out densely on vectors, with torch's own optimisers as step rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .reference import Reference

Product = Callable[[Tensor], Tensor]
Draw = Callable[[], Mapping[str, Any]]

RULES: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1.0),
    "momentum": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1.0),
    "adam": lambda p: torch.optim.Adam(p, lr=1.0),
}


class Ruled:
    """One player's optimiser: turns a direction into what to subtract at lr = 1."""

    def __init__(self, rule: str, size: int) -> None:
        self.at = torch.zeros(size, dtype=torch.float64)
        self.optimizer = RULES[rule]([self.at])

    def __call__(self, d: Tensor) -> Tensor:
        self.at.zero_().grad = d.clone()
        self.optimizer.step()
        return -self.at.clone()


class Play:
    """A solver's steps from the reference's v; ``draw()`` gives batches, ``found`` is the point to be checked."""

    def __init__(self, reference: Reference) -> None:
        case = reference.built.case
        self.ref, self.options = reference, dict(case.options)
        self.lr = self.options["lr"]
        self.rules = {i: Ruled(case.rule, p.stop - p.start) for i, p in reference.parts.items()}
        self.last = torch.zeros(reference.size, dtype=torch.float64)
        self.step: Callable[[Tensor, Draw, Tensor], Tensor] | None = getattr(self, "_" + case.solver.replace("-", "_"), None)
        self.direction = DIRECTIONS.get(case.solver)
        if self.direction is not None:
            self.step = self._along

    def ruled(self, d: Tensor) -> Tensor:
        return torch.cat([self.rules[i](d[p]) for i, p in self.ref.parts.items()])

    def off(self, product: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
        """The product without the diagonal blocks: what the others do to each player."""
        out = torch.zeros_like(u)
        if len(self.ref.parts) > 1:
            for p in self.ref.parts.values():
                others = u.clone()
                others[p] = 0
                out[p] = product(others)[p]
        return out

    def _along(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        batch = draw()
        mv, rmv = (lambda u: self.ref.mv(x, batch, u)), (lambda w: self.ref.rmv(x, batch, w))
        assert self.direction is not None
        return x - self.lr * self.ruled(self.direction(self, self.ref.v(x, batch), mv, rmv))

    def _simgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        return x - self.lr * self.ruled(self.ref.v(x, draw()))

    def _altgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        for i, p in self.ref.parts.items():
            for _ in range(self.options["repeats"]):
                x = x.clone()
                x[p] = x[p] - self.lr * self.rules[i](self.ref.v(x, draw())[p])
        return x

    def _extragradient(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        batch = draw()
        ahead = x - self.lr * self.ruled(self.ref.v(x, batch))
        return x - self.lr * self.ruled(self.ref.v(ahead, batch))

    def _past_extragradient(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        batch = draw()
        ahead = x - self.lr * self.ruled(self.last)
        self.last = self.ref.v(ahead, batch)
        return x - self.lr * self.ruled(self.last)

    def _ogda(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        s = self.ruled(self.ref.v(x, draw()))
        self.last, before = s, self.last
        return x - self.lr * (2 * s - before)

    def _cgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        """What solves  d = -lr (v + J_off d)  gives itself."""
        batch = draw()
        return x - self.lr * (self.ref.v(x, batch) + self.off(lambda u: self.ref.mv(x, batch, u), found - x))

    def _implicit_euler(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        return x - self.lr * self.ref.v(found, draw())


def _charged(play: Play, v: Tensor, rmv: Product, who: Callable[[int], bool]) -> Tensor:
    charge = play.options["gamma"] * play.off(rmv, v)
    for n, p in enumerate(play.ref.parts.values()):
        charge[p] *= who(n)
    return v + charge


def _sga(play: Play, v: Tensor, mv: Product, rmv: Product) -> Tensor:
    pulled = rmv(v)
    adjusted = (pulled - mv(v)) / 2
    if play.options["align"]:
        adjusted = adjusted * torch.sign((v @ pulled) * (adjusted @ pulled) / len(v) + 0.1)
    return v + play.options["strength"] * adjusted


DIRECTIONS: dict[str, Callable[[Play, Tensor, Product, Product], Tensor]] = {
    "conopt": lambda play, v, mv, rmv: v + play.options["gamma"] * rmv(v),
    "jare": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: True),
    "reg-generator-only": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: n == 0),
    "reg-discriminator-only": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: n > 0),
    "sga": _sga,
    "hamiltonian": lambda play, v, mv, rmv: rmv(v),
    "lcgd": lambda play, v, mv, rmv: v - play.off(mv, play.lr * v),
    "la": lambda play, v, mv, rmv: v - play.off(mv, play.lr * v),
}
