"""The batches that spectra, samples and metrics are taken on: fixed random numbers, the buffers of the point itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..game.tree import Batch, Buffers, Params
from .evaluator import Evaluator

GALLERY_SEED = 2**31 - 1  # the same for every seed, so that runs compare
REFRESHES = 1000  # how often buffers are renewed at a point until they rest
AT_REST = {torch.float64: 1e-12}  # their largest change, relative to themselves
AT_REST_ELSE = 1e-6


class Draws:
    """What a game draws, from generators of its own: the same data and noise at every point, under any buffers.

    ``what`` is "sample", on which spectra are measured, or "gallery", to be shown. A game whose sample depends on its
    buffers draws what it would draw under those it is given.
    """

    def __init__(self, game: Evaluator, what: str = "sample") -> None:
        self.game, self.what = game, what
        rngs = game.generators(GALLERY_SEED)
        self.params, self.buffers = game.start(rngs)  # which takes its share of the random numbers first
        self.states = [rng.get_state() for rng in rngs]

    def __call__(self, buffers: Buffers, count: int = 1) -> list[Batch]:
        """``count`` independent batches, the first of them the same whatever their number."""
        rngs = [torch.Generator() for _ in self.states]
        for rng, state in zip(rngs, self.states, strict=True):
            rng.set_state(state)
        game, draw = self.game, getattr(self.game.game, self.what)
        return [game.stack_members(lambda m: draw(rngs[m], game.member(buffers, m)), len(rngs)) for _ in range(count)]


def probe(game: Evaluator, what: str, buffers: Buffers | None = None) -> Any:
    """One such batch, by default under the buffers of the game's own start."""
    draws = Draws(game, what)
    return draws(game.refresh(draws.params, draws.buffers) if buffers is None else buffers)[0]


def settled(game: Evaluator, params: Params, buffers: Buffers) -> Buffers:
    """What ``buffers`` come to when they are renewed at ``params`` again and again, or themselves (:func:`limit`)."""
    return limit(game, params, buffers)[0]


def limit(game: Evaluator, params: Params, buffers: Buffers) -> tuple[Buffers, Tensor]:
    """What ``buffers`` come to when they are renewed at ``params`` again and again; for which members (...) they do.

    A point's spectra are those of the game whose buffers have followed it: power iterations that have found their
    singular vectors. Buffers that find no rest within 1,000 refreshes, a count of the steps or a slow average, have
    no such limit: they stay what the step from this point sees. Which it is, is asked of all of them together, as one
    may be a function of another.
    """
    rest = torch.zeros(() if game.members is None else game.members, dtype=torch.bool)
    if not buffers:
        return buffers, ~rest
    now = found = buffers
    for _ in range(REFRESHES):
        after = game.refresh(params, now)
        new = _still(now, after, rest.dim()) & ~rest
        if new.any():
            found, rest = tree_map(partial(_put, new), after, found), rest | new
        if rest.all():
            break
        now = after
    return found, rest


def _put(which: Tensor, new: Any, old: Any) -> Any:
    """``new`` for the members (...) of ``which``; what is no tensor is everyone's."""
    if not isinstance(new, Tensor):
        return old
    return torch.where(which[(..., *[None] * (new.dim() - which.dim()))].to(new.device), new, old)


def _still(before: Buffers, after: Buffers, lead: int) -> Tensor:
    """For which members (...) nothing changes any more."""
    pairs = zip(tree_leaves(before), tree_leaves(after), strict=True)
    each = [_same(a, b, lead) if isinstance(b, Tensor) else torch.tensor(bool(np.all(a == b))) for a, b in pairs]
    return torch.stack(torch.broadcast_tensors(*each)).all(0)


def _same(a: Tensor, b: Tensor, lead: int) -> Tensor:
    a, b = a.unsqueeze(-1).flatten(lead), b.unsqueeze(-1).flatten(lead)
    if not (b.is_floating_point() and b.numel()):
        return (a == b).all(-1).cpu()
    return ((b - a).abs().amax(-1) <= AT_REST.get(b.dtype, AT_REST_ELSE) * b.abs().amax(-1)).cpu()
