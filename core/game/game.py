"""What a differentiable game is: players, their parameters, and one loss for each of them.

Every player i minimises its own loss l_i by its own parameters theta_i. Everywhere in this project v stands for all
players' gradients of their own losses, v_i = grad_i l_i, and J for its Jacobian, with blocks J_ij = d v_i / d theta_j.

The functions of a game are pure: parameters come in as arguments, and all that is fixed during a step (data, random
numbers, buffers) comes in as the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .. import notebook
from .loss import GanLoss
from .tree import Batch, Buffers, Params, Player, Tree


class Game(ABC):
    """A game of n players. A subclass is a frozen dataclass whose fields are the game's options.

    A game must define ``players``, ``init`` and ``losses``. Everything else has a default.
    """

    players: tuple[Player, ...]
    work: tuple[int, int] | None = None
    """What one evaluation of v costs: how many gradients of all players, and how many products with J or J^T. None:
    one gradient, and one product for each derivative that the losses are seen to take."""
    zero_sum: bool = False
    """Whether the mixed derivatives are opposite, J_ij = -J_ji^T. This holds in two-player zero-sum games, and still
    holds when terms are added that depend on one player's parameters only. Inner solves are then symmetric and cost
    half as much."""

    position_buffers: tuple[str, ...] = ()
    """The names of the buffers that say which data come next, as the place in an epoch. Only :meth:`advance` changes
    them, and they are left out of batches. The fixed batches for spectra, samples and metrics are drawn from the first
    place, whatever the step."""

    sample_axes: Mapping[str, int] = {}
    """The entries of a batch that hold samples, each with the axis of the samples. A run over several processes gives
    each of them a share. The losses must be means over the samples; what mixes samples (normalisation by
    ``counterplay``'s own formulas, a :class:`BatchLoss`) sees the whole batch. Empty: the game is not split."""

    small_options: Mapping[str, Any] = {}
    """Options with which ``counterplay check`` makes the game, where it is slow or needs files without them."""

    metric_axes: Mapping[str, tuple[str, ...]] = {}
    """The names of the axes of each metric that is not a scalar."""

    def metric_provenance(self) -> Mapping[str, Mapping[str, str | int | float]]:
        """What metrics mean nothing without, by the metric's name: its extractor, the number of samples.

        It is recorded in the log with each of them, and compared when a run is resumed.
        """
        return {}

    @abstractmethod
    def init(self, rng: torch.Generator) -> Params:
        """The initial parameters of every player: {player: {name: floating tensor}}."""

    def buffers(self, rng: torch.Generator) -> Buffers:
        """The first buffers: what changes from step to step but belongs to no player, such as a running average.

        Tensors, numbers, text and None, in dictionaries, lists and tuples.
        """
        return {}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """The batch of one step: the buffers, the data, and *every* random number that the losses use.

        All randomness comes from ``rng``: the same generator state must give the same batch.
        """
        return buffers

    def advance(self, buffers: Buffers) -> Buffers:
        """The buffers after a batch was drawn with them: the ``position_buffers`` moved on. Called after each draw."""
        return buffers

    @property
    def draws(self) -> bool:
        """Whether ``sample`` draws anything. If not, it is not called, and the generators are never advanced."""
        return type(self).sample is not Game.sample

    def samples(self, drawn: Batch) -> int:
        """The number of data samples in a batch, which a run's cost counts. ``drawn`` is the batch without the buffers.

        By default the length of "real", or else of the first tensor that has a length.
        """
        known = [drawn["real"]] if "real" in drawn else list(drawn.values())
        return next((len(x) for x in tree_leaves(known) if isinstance(x, Tensor) and x.dim() > 0), 0)

    @abstractmethod
    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        """Each player's loss, a scalar tensor. Must be pure: no random numbers, no in-place change, no ``.item()``."""

    def refresh(self, params: Params, buffers: Buffers) -> Buffers:
        """The buffers that the next step uses, in the same structure. Called once before every step."""
        return buffers

    def project(self, params: Params) -> Params:
        """The point of the strategy set that is nearest to ``params``, as for weight clipping or bounds.

        Must be pure, and return points of the set unchanged. It is applied after every move of a player, to every
        point at which a solver evaluates v ahead, and after every step.
        """
        return params

    @property
    def projects(self) -> bool:
        """Whether ``project`` does anything. If not, it is not called."""
        return type(self).project is not Game.project

    def data_provenance(self) -> Mapping[str, Mapping[str, str]]:
        """What the game was given from outside: by a name, its "sha256", and in words its "source".

        Both are recorded with a run. It is not resumed where a sum has changed.
        """
        return {}

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """The batch that ``metrics`` and ``show`` get, drawn once in a run. By default it is like any other batch."""
        return self.sample(rng, buffers)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """Measures of quality at ``params`` by name, recorded with the samples: scalars or short vectors."""
        return {}

    def show(self, params: Params, batch: Batch) -> Tensor | None:
        """Samples to look at: images (B, C, H, W) in [0, 1], or points (B, 2). None: the game has nothing to show."""
        return None

    def _repr_html_(self) -> str:
        """A table of the players and the options, for notebooks."""
        known: tuple[Field[Any], ...] = fields(self) if is_dataclass(self) else ()
        own = {f.name.rstrip("_"): getattr(self, f.name) for f in known if f.repr and f.name != "players"}
        words = {name: getattr(x, "__qualname__", repr(x)) for name, x in own.items() if x is not None}
        return notebook.table(type(self).__name__, [("players", ", ".join(self.players)), *words.items()])


INSTANCE_NOISE = "instance_noise/generated"
"""The entry of a batch that holds the noise added to generated data, (B, ...). "real" contains that of real data."""


class GanGame(Game):
    """A game of two players, "generator" and "discriminator", with a :class:`GanLoss` of the discriminator's logits.

    ``batch["real"]`` holds the data (B, ...), ``batch["noise"]`` the latent z (B, Z).
    """

    players = ("generator", "discriminator")
    sample_axes = MappingProxyType({"real": 0, "noise": 0, INSTANCE_NOISE: 0})
    loss: GanLoss

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.loss.zero_sum

    @abstractmethod
    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        """Generated data (B, ...) from the latent z (B, Z); ``generator`` holds the generator's parameters."""

    @abstractmethod
    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        """Logits (B,) of the data x (B, ...); ``discriminator`` holds the discriminator's parameters."""

    def generated(self, params: Params, batch: Batch) -> Tensor:
        """Generated data (B, ...) as the discriminator sees them: G(z), and instance noise where the batch has any."""
        fake = self.generate(params["generator"], batch["noise"], batch)
        return fake + batch[INSTANCE_NOISE] if INSTANCE_NOISE in batch else fake

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        d_real = self.discriminate(params["discriminator"], batch["real"], batch)
        d_fake = self.discriminate(params["discriminator"], self.generated(params, batch), batch)
        return self.loss(d_real, d_fake)


def regularizer_of(game: Any) -> Any:
    """The regularizer with which ``game`` wraps another game; None where it does not."""
    return getattr(game, "regularizer", None) if isinstance(getattr(game, "game", None), Game) else None


def regularizers_of(game: Any) -> list[Any]:
    """All regularizers of ``game``, outermost first."""
    wrapped, own = getattr(game, "game", None), regularizer_of(game)
    below = regularizers_of(wrapped) if isinstance(wrapped, Game) else []
    return below if own is None else [own, *below]


def innermost(game: Any) -> Game:
    """The user's own game, without the evaluator and the regularizers that wrap it."""
    while isinstance(getattr(game, "game", None), Game):
        game = game.game
    return game
