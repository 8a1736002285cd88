"""A random polynomial game: each player's loss is a polynomial in all players' numbers, with normal coefficients.

    l_i(theta) = sum_k 1/k sum C_i^k[a, b, ...] theta_a theta_b ...,    k = 1 ... degree,   C_i^k ~ N(0, 1/N^(k-1))

theta holds all players' numbers, N = n dimension of them. The scale of C makes v of order 1 if theta is. The game is
general-sum and has no structure that a method could rely on. It is ours; random games in the literature are mostly
quadratic (Balduzzi et al. 2018, arXiv 1802.05642; Letcher et al. 2019, arXiv 1811.08469).

``stable`` drops the linear terms and adds mu/2 ||theta_i||^2 to l_i, with mu such that the smallest eigenvalue of the
symmetric part of J at the origin is 1. The origin is then a strict local Nash equilibrium that attracts the flow of -v
from nearby. From far away, terms of odd degree or with negative coefficients can still lead to infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..core.errors import UsageError
from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import Count, NonNegative, Seed, option
from ..core.seeding import generator

LARGEST = 10_000_000  # coefficients of one game


@dataclass(frozen=True)
class RandomPolynomial(Game):
    """Players p0, p1, ... of ``dimension`` numbers each; the coefficients belong to the game, not to the run's seed."""

    n: Count = option(3, "players")
    dimension: Count = option(1, "numbers each player has")
    degree: Count = option(4, "of every loss")
    seed: Seed = option(0, "from which the coefficients are drawn")
    stable: bool = option(True, "make the origin a stable equilibrium")
    std: NonNegative = option(0.1, "of every initial number")

    def __post_init__(self) -> None:
        if self.stable and self.degree < 2:
            raise UsageError("a stable random-polynomial needs degree 2 or more: set degree=2 or stable=false.")
        if self.n * (self.n * self.dimension) ** self.degree > LARGEST:
            raise UsageError(
                f"n={self.n}, dimension={self.dimension}, degree={self.degree} make more than {LARGEST:,} "
                "coefficients: choose a smaller game."
            )
        _ = self.mu  # draws the coefficients now: the first losses may run under a tracer, and would keep its tensors

    @property
    def players(self) -> tuple[Player, ...]:  # type: ignore[override]
        """p0, p1, ..., as many as ``n`` says."""
        return tuple(f"p{i}" for i in range(self.n))

    @cached_property
    def coefficients(self) -> tuple[Tensor, ...]:
        """The coefficients C^k of all players, (n, N, ..., N) with k axes of length N, for k = 1 ... degree."""
        rng, N = generator(self.seed), self.n * self.dimension
        drawn = [
            torch.randn(self.n, *[N] * k, generator=rng, dtype=torch.float64) / N ** ((k - 1) / 2)
            for k in range(1, self.degree + 1)
        ]
        if self.stable:
            drawn[0] = torch.zeros_like(drawn[0])
        return tuple(drawn)

    @cached_property
    def mu(self) -> float:
        """The curvature that is added in each player's own numbers; 0 unless ``stable``."""
        if not self.stable:
            return 0.0
        second = self.coefficients[1]  # (n, N, N)
        hessians = ((second + second.mT) / 2).unflatten(1, (self.n, self.dimension))  # (n, n, dimension, N)
        J = torch.cat([hessians[i, i] for i in range(self.n)])  # (N, N): its rows i are the derivatives of v_i
        return 1 - float(torch.linalg.eigvalsh((J + J.T) / 2)[0])

    def init(self, rng: torch.Generator) -> Params:
        return {
            i: {"value": self.std * torch.randn(self.dimension, generator=rng, dtype=torch.float64)}
            for i in self.players
        }

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        own = torch.stack([params[i]["value"] for i in self.players])  # (n, dimension)
        theta = own.flatten()  # (N,)
        losses = self.mu / 2 * (own * own).sum(1)  # (n,)
        for k, C in enumerate(self.coefficients, start=1):
            form = C.to(theta)
            for _ in range(k):
                form = form @ theta  # which has one axis less
            losses = losses + form / k
        return dict(zip(self.players, losses, strict=True))
