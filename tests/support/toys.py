"""Small games at points given by numbers, and the path of a run."""

from __future__ import annotations

import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from .cases import F64


def make(name, **options):
    return cp.make("game", name, **options)


def at(**values):
    """A point: a number or a list for each player, under the name of that player's only tensor in most toys."""
    return {i: {"value": torch.as_tensor(x, dtype=F64).reshape(-1)} for i, x in values.items()}


def logits(**values):
    return {i: {"logits": torch.as_tensor(x, dtype=F64).reshape(-1)} for i, x in values.items()}


def losses(game, params):
    return {i: float(x) for i, x in game.losses(params, {}).items()}


def path(game, solver, steps, **options):
    """Every point of a run, as (steps, N), and how it ended."""
    seen = []
    result = cp.run(
        game, solver, steps=steps, trace=False, observers=[lambda s: seen.append(ravel(s.params).clone())], **options
    )
    return torch.stack(seen), result
