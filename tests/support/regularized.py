"""Games under regularizers."""

from __future__ import annotations

import counterplay as cp
from counterplay.core.game.regularizer import Regularized, regularized


def make(name, **options):
    return cp.make("regularizer", name, **options)


def under(game, *regularizers):
    """The game under one regulariser or more, with what such a game has of its own."""
    both = regularized(game, *regularizers)
    assert isinstance(both, Regularized)
    return both


def penalty(game, regularizer, params, batch):
    """What it adds to each player's loss."""
    with_it, without = regularized(game, regularizer).losses(params, batch), game.losses(params, batch)
    return {i: float(with_it[i] - without[i]) for i in game.players}
