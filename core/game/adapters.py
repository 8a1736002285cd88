"""Games made from a function that gives the losses, and a starting point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from .checks import require_mapping
from .game import Game
from .tree import Batch, Buffers, Params, Player

Losses = Callable[[Params, Batch], dict[Player, Tensor]]
Init = Params | Callable[[torch.Generator], Params]
Sample = Callable[[torch.Generator], Batch]


@dataclass(frozen=True)
class GameFromLosses(Game):
    """What :func:`game_from_losses` returns: ``of`` gives the losses, ``draw`` samples."""

    of: Losses
    start: Init = field(repr=False)
    draw: Sample | None = None
    players: tuple[Player, ...] = ()
    zero_sum: bool = False
    sample_axes: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def init(self, rng: torch.Generator) -> Params:
        start = self.start(rng) if callable(self.start) else self.start
        return {i: {k: x.detach().clone() for k, x in tree.items()} for i, tree in start.items()}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        return buffers if self.draw is None else {**buffers, **require_mapping(self, "sample", self.draw(rng))}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return validated_losses(self.of(params, batch), self.players)


def game_from_losses(
    losses: Losses,
    init: Init,
    sample: Sample | None = None,
    zero_sum: bool = False,
    sample_axes: Mapping[str, int] | None = None,
) -> Game:
    """A game in one expression.

    ``losses(params, batch)`` gives {player: scalar tensor} and must be pure: ``params[player][name]`` are tensors, and
    everything random comes from ``batch``, which is what ``sample(rng)`` returns. ``init`` is the starting point,
    {player: {name: tensor}}, or a function of a generator that returns it. ``zero_sum`` says that the mixed derivatives
    are opposite, see :attr:`counterplay.Game.zero_sum`. ``sample_axes`` names the entries of a batch that hold samples,
    as ``{"real": 0}``, so that several processes can share it, see :attr:`counterplay.Game.sample_axes`. Raises
    UsageError if ``init`` or a function is of another form.
    """
    require_function(losses, "losses", "params", "batch")
    if sample is not None:
        require_function(sample, "sample", "rng")
    first = init(torch.Generator().manual_seed(0)) if callable(init) else init
    ok = isinstance(first, Mapping) and all(
        isinstance(t, Mapping) and t and all(isinstance(x, Tensor) for x in t.values()) for t in first.values()
    )
    if not ok or not first:
        raise UsageError(
            "game_from_losses: init must be {player: {name: tensor}} or a function of a generator that returns that; "
            f"got {type(first).__name__} {first!r:.80}."
        )
    if odd := [i for i in first if not isinstance(i, str)]:
        raise UsageError(f"game_from_losses: the player {odd[0]!r:.40} is no name; call the players by text.")
    return GameFromLosses(losses, init, sample, tuple(first), zero_sum, dict(sample_axes or {}))


def require_function(f: Any, name: str, *of: str) -> None:
    """Raise UsageError unless ``f`` can be called with the arguments ``of``."""
    expected = f"{name} must be a function of ({', '.join(of)})"
    if not callable(f):
        raise UsageError(f"{expected}; got {type(f).__name__}.")
    try:
        inspect.signature(f).bind(*of)
    except TypeError:
        raise UsageError(f"{expected}; the one given takes {inspect.signature(f)}.") from None
    except ValueError:  # a function in C has no signature
        pass


def validated_losses(losses: Any, players: tuple[Player, ...]) -> dict[Player, Tensor]:
    """What a user's function returned. Raises UsageError unless it is one scalar tensor for each player."""
    if not isinstance(losses, Mapping):
        raise UsageError(f"losses must be a table {{player: scalar tensor}}; got {type(losses).__name__}.")
    for i in {**dict.fromkeys(players), **losses}:
        if i not in losses or i not in players:
            given, wanted = ", ".join(map(str, losses)) or "nobody", ", ".join(players)
            raise UsageError(f"losses are of {given}; one for each of the players {wanted} is expected.")
        if not isinstance(losses[i], Tensor) or losses[i].dim() > 0:
            got = f"shape {tuple(losses[i].shape)}" if isinstance(losses[i], Tensor) else type(losses[i]).__name__
            raise UsageError(f"the loss of {i} must be a scalar tensor, got {got}; take its sum() or mean().")
    return dict(losses)
