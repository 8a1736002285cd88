"""What a differentiable game is: players, their parameters, and one loss for each.

Everyone minimises. A game's functions are pure: the parameters come in as arguments, and everything random or
otherwise frozen during a step (data, noise, buffers) is in the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .loss import Loss
from .tree import Batch, Buffers, Params, Player, Tree


class Game(ABC):
    """A game of n players. Subclasses are frozen dataclasses whose fields are their options."""

    players: tuple[Player, ...]
    work: tuple[int, int] | None = None
    """The gradients of everyone and the products that one evaluation of v takes; None: (1, 0), and what is seen there:
    a product for each derivative that the losses are made of."""
    zero_sum: bool = False
    """Whether the mixed derivatives are opposite, J_ij = -J_ji^T: true of a two-player zero-sum game, also with
    penalties that see one player only. Inner solves are then symmetric and half as dear."""

    metric_axes: Mapping[str, tuple[str, ...]] = {}
    """The names of the axes of those metrics that are no scalars."""

    @abstractmethod
    def init(self, rng: torch.Generator) -> Params:
        """Initial parameters of every player."""

    def buffers(self, rng: torch.Generator) -> Buffers:
        """What changes between steps without being anyone's strategy: power-iteration vectors, averages."""
        return {}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """All that is frozen in one step: the data and *every* random number the losses use."""
        return buffers

    @property
    def draws(self) -> bool:
        """Whether ``sample`` adds to the buffers: if not, generators stay as they are, whatever the members."""
        return type(self).sample is not Game.sample

    def samples(self, drawn: Batch) -> int:
        """How many samples of data are in ``drawn``, what ``sample`` added to the buffers: what a run's cost counts.

        By default the length of "real", else that of the first tensor that has one.
        """
        known = [drawn["real"]] if "real" in drawn else list(drawn.values())
        return next((len(x) for x in tree_leaves(known) if isinstance(x, Tensor) and x.dim() > 0), 0)

    @abstractmethod
    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        """Each player's loss, a scalar. Pure: no random numbers, no mutation, no ``.item()``."""

    def refresh(self, params: Params, buffers: Buffers) -> Buffers:
        """The buffers of the next step; called once before each."""
        return buffers

    def project(self, params: Params) -> Params:
        """The strategy set's point nearest to ``params`` (weight clipping, bounds); pure, and where it is it stays.

        It is applied after every move, at every point that a method looks ahead to, and after each step.
        """
        return params

    @property
    def projects(self) -> bool:
        """Whether ``project`` does anything: if not, it is not called."""
        return type(self).project is not Game.project

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """The batch that ``metrics`` and ``show`` are given, drawn once: by default like any other."""
        return self.sample(rng, buffers)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """Figures of merit at ``params``, recorded with the samples: scalars or short vectors by name."""
        return {}

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        """What a person would look at: images (B, C, H, W) in [0, 1] or points (B, 2); None for most games."""
        return None


class GanGame(Game):
    """Two players, "generator" and "discriminator", and a :class:`Loss` of the discriminator's logits.

    ``batch["real"]`` is the data (B, ...), ``batch["noise"]`` the latent z (B, Z).
    """

    players = ("generator", "discriminator")
    loss: Loss

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.loss.zero_sum

    @abstractmethod
    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        """Generated data (B, ...) from the latent z (B, Z)."""

    @abstractmethod
    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        """Logits (B,) of the data x (B, ...)."""

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        fake = self.generate(params["generator"], batch["noise"], batch)
        d_real = self.discriminate(params["discriminator"], batch["real"], batch)
        d_fake = self.discriminate(params["discriminator"], fake, batch)
        return self.loss(d_real, d_fake)


def regularizer_of(game: Any) -> Any:
    """The regularizer that ``game`` is another game under; None where it is a game by itself."""
    return getattr(game, "regularizer", None) if isinstance(getattr(game, "game", None), Game) else None


def regularizers_of(game: Any) -> list[Any]:
    """All that ``game`` is regularised by, outermost first."""
    inner, own = getattr(game, "game", None), regularizer_of(game)
    below = regularizers_of(inner) if isinstance(inner, Game) else []
    return below if own is None else [own, *below]


def innermost(game: Any) -> Game:
    """The game itself, without what prepares and regularises it."""
    while isinstance(getattr(game, "game", None), Game):
        game = game.game
    return game
