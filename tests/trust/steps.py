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
    """Member m's steps from the reference's v; ``draw()`` gives batches, ``found`` is the point to be checked."""

    def __init__(self, reference: Reference, m: int = 0) -> None:
        case = reference.built.case
        self.ref, self.options = reference, dict(case.options)
        self.lr = self._sizes(self.options["lr"], m)
        self.rules = {i: Ruled(case.rule, p.stop - p.start) for i, p in reference.parts.items()}
        self.last = torch.zeros(reference.size, dtype=torch.float64)

    def _sizes(self, lr: Any, m: int) -> Tensor:
        """The step size of every number."""
        out = torch.zeros(self.ref.size, dtype=torch.float64)
        for i, p in self.ref.parts.items():
            own = lr[i] if isinstance(lr, dict) else lr
            out[p] = own[m] if isinstance(own, list) else own
        return out

    def step(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor | None:
        """The point after x, or None for a solver that is not written out here."""
        name = self.ref.built.case.solver
        if name in DIRECTIONS:
            return self._along(DIRECTIONS[name], x, draw)
        return STEPS[name](self, x, draw, found) if name in STEPS else None

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

    def _along(self, direction: Direction, x: Tensor, draw: Draw) -> Tensor:
        batch = draw()
        mv, rmv = (lambda u: self.ref.mv(x, batch, u)), (lambda w: self.ref.rmv(x, batch, w))
        return x - self.lr * self.ruled(direction(self, self.ref.v(x, batch), mv, rmv))

    def simgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        return x - self.lr * self.ruled(self.ref.v(x, draw()))

    def altgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        for i, p in self.ref.parts.items():
            for _ in range(self.options["repeats"]):
                x = x.clone()
                x[p] = x[p] - self.lr[p] * self.rules[i](self.ref.v(x, draw())[p])
        return x

    def extragradient(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        batch = draw()
        ahead = x - self.lr * self.ruled(self.ref.v(x, batch))
        return x - self.lr * self.ruled(self.ref.v(ahead, batch))

    def past_extragradient(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        batch = draw()
        ahead = x - self.lr * self.ruled(self.last)
        self.last = self.ref.v(ahead, batch)
        return x - self.lr * self.ruled(self.last)

    def ogda(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        s = self.ruled(self.ref.v(x, draw()))
        self.last, before = s, self.last
        return x - self.lr * (2 * s - before)

    def cgd(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
        """What solves  d = -lr (v + J_off d)  gives itself."""
        batch = draw()
        return x - self.lr * (self.ref.v(x, batch) + self.off(lambda u: self.ref.mv(x, batch, u), found - x))

    def implicit_euler(self, x: Tensor, draw: Draw, found: Tensor) -> Tensor:
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


Direction = Callable[[Play, Tensor, Product, Product], Tensor]

STEPS: dict[str, Callable[[Play, Tensor, Draw, Tensor], Tensor]] = {
    "simgd": Play.simgd,
    "altgd": Play.altgd,
    "extragradient": Play.extragradient,
    "past-extragradient": Play.past_extragradient,
    "ogda": Play.ogda,
    "cgd": Play.cgd,
    "implicit-euler": Play.implicit_euler,
}
DIRECTIONS: dict[str, Direction] = {
    "conopt": lambda play, v, mv, rmv: v + play.options["gamma"] * rmv(v),
    "jare": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: True),
    "reg-generator-only": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: n == 0),
    "reg-discriminator-only": lambda play, v, mv, rmv: _charged(play, v, rmv, lambda n: n > 0),
    "sga": _sga,
    "hamiltonian": lambda play, v, mv, rmv: rmv(v),
    "lcgd": lambda play, v, mv, rmv: v - play.off(mv, play.lr * v),
    "la": lambda play, v, mv, rmv: v - play.off(mv, play.lr * v),
}
