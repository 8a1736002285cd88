"""The fixed batches on which spectra, samples and metrics are computed: the same random numbers at every point."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..game.regularizer import Refresh, refresh_functions
from ..game.tree import Batch, Buffers, Params
from .evaluator import Evaluator

GALLERY_SEED = 2**31 - 1  # the same for every run, whatever its seed, so that runs can be compared
REFRESHES = 1000  # how often buffers are refreshed at a point, at most, until they no longer change
UNCHANGED = {torch.float64: 1e-12}  # converged: a refresh changes no tensor by more than this share of its maximum
UNCHANGED_ELSE = 1e-6  # in other dtypes


class FixedBatches:
    """Draws batches of ``game`` from generators of a fixed seed, so that they are the same whenever they are drawn.

    ``what`` is the method of the game that draws: "sample" for spectra, or "gallery" for samples and metrics. What is
    drawn may depend on the buffers.
    """

    def __init__(self, game: Evaluator, what: str = "sample") -> None:
        self.game, self.what = game, what
        rngs = game.generators(GALLERY_SEED)
        self.params, self.buffers = game.start(rngs)  # as in a run, the start takes the first random numbers
        self.states = [rng.get_state() for rng in rngs]

    def __call__(self, buffers: Buffers, count: int = 1) -> list[Batch]:
        """``count`` independent batches drawn under ``buffers``. The first one does not depend on ``count``."""
        rngs = [torch.Generator() for _ in self.states]
        for rng, state in zip(rngs, self.states, strict=True):
            rng.set_state(state)
        game, batches = self.game, list[Batch]()
        buffers = {**buffers, **{name: self.buffers[name] for name in game.game.position_buffers}}
        for _ in range(count):
            batches.append(game.drawn(self.what, rngs, buffers))
            buffers = game.advance(buffers)
        return batches


def probe_batch(game: Evaluator, buffers: Buffers | None = None) -> Any:
    """The batch on which spectra are measured, by default under the buffers of the game's own start."""
    draws = FixedBatches(game)
    return draws(game.refresh(draws.params, draws.buffers) if buffers is None else buffers)[0]


def converged_buffers(game: Evaluator, params: Params, buffers: Buffers) -> Buffers:
    """The limit of ``buffers`` when they are refreshed at ``params`` again and again, else ``buffers`` themselves."""
    return refresh_until_converged(game, params, buffers)[0]


def refresh_until_converged(game: Evaluator, params: Params, buffers: Buffers) -> tuple[Buffers, Tensor]:
    """Refresh ``buffers`` at ``params`` until they no longer change, and say for which members (...) that succeeded.

    Spectra at a point are those of the game whose buffers have converged there: power iterations, for example, have
    found their singular vectors. Buffers that still change after 1,000 refreshes, such as a count of the steps or a
    slow average, have no limit: the member then keeps them. The game's own buffers and those of each regularizer
    converge one after another, as none depends on those outside it; within one of these, all are kept or none.
    """
    converged = torch.ones(() if game.members is None else game.members, dtype=torch.bool)
    for part in refresh_functions(game.game) if buffers else ():
        buffers, part_converged = _part_converged(game, params, buffers, part)
        converged = converged & part_converged
    return buffers, converged


def _part_converged(game: Evaluator, params: Params, buffers: Buffers, part: Refresh) -> tuple[Buffers, Tensor]:
    """:func:`refresh_until_converged` by one part of a refresh."""
    converged = torch.zeros(() if game.members is None else game.members, dtype=torch.bool)
    now = result = buffers
    for _ in range(REFRESHES):
        after = game.refresh(params, now, part)
        newly = _unchanged(now, after, converged.dim()) & ~converged
        if newly.any():
            result, converged = tree_map(partial(_select, newly), after, result), converged | newly
        if converged.all():
            break
        now = after
    return result, converged


def _select(which: Tensor, new: Any, old: Any) -> Any:
    """``new`` for the members (...) in ``which``, ``old`` for the others. A leaf that is no tensor stays ``old``."""
    if not isinstance(new, Tensor):
        return old
    return torch.where(which[(..., *[None] * (new.dim() - which.dim()))].to(new.device), new, old)


def _unchanged(before: Buffers, after: Buffers, member_dims: int) -> Tensor:
    """For which members (...) a refresh changed nothing. ``member_dims`` is 1 in an ensemble, else 0."""
    pairs = zip(tree_leaves(before), tree_leaves(after), strict=True)
    each = [_same(a, b, member_dims) if isinstance(b, Tensor) else torch.tensor(bool(np.all(a == b))) for a, b in pairs]
    return torch.stack(torch.broadcast_tensors(*each)).all(0)


def _same(a: Tensor, b: Tensor, member_dims: int) -> Tensor:
    """For which members (...) the tensors agree: within rounding if they are floating, else exactly."""
    a, b = a.unsqueeze(-1).flatten(member_dims), b.unsqueeze(-1).flatten(member_dims)
    if not (b.is_floating_point() and b.numel()):
        return (a == b).all(-1).cpu()
    return ((b - a).abs().amax(-1) <= UNCHANGED.get(b.dtype, UNCHANGED_ELSE) * b.abs().amax(-1)).cpu()
