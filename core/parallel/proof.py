"""Whether a game may be split over processes: its shares are summed, and compared with the whole batch, at the start.

Losses that are no means over samples, an entry of the batch that is not in ``sample_axes``, statistics of the batch
that are computed outside `core.collective`: each of them shows as a difference here. It is looked for in losses, in v
and in products with J and J^T, in double precision where the game can be played so.
"""

from __future__ import annotations

import dataclasses

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ..collective import ProcessLost, Ranks
from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..derivatives.products import Cost
from ..errors import UsageError
from ..game.game import innermost
from ..game.tree import Batch, Params
from ..solver.state import State
from .shares import NOT_SPLIT, Shares
from .split_evaluator import SplitEvaluator

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative to the largest number of the same kind


def require_split(ranks: Ranks, game: Evaluator, state: State) -> None:
    """Raise UsageError unless the sum over the shares of a batch is the whole, at the state where a run begins."""
    name = type(innermost(game)).__name__
    if not game.game.draws:
        raise UsageError(f"{name} draws no samples that {ranks.count} processes could share: play it in one.")
    if not game.game.sample_axes:
        raise UsageError(f"{name} {NOT_SPLIT}")
    quiet = dataclasses.replace(game, trace=False, cost=Cost())
    batch = quiet.draw(state.generators(), quiet.refresh(state.params, state.buffers))
    Shares(game.game, ranks, game.members is not None).own(batch)  # raises a UsageError of its own
    where, error = "", 0.0
    for evaluator in (dataclasses.replace(quiet, dtype=torch.float64), quiet):
        try:
            where, error = _largest_difference(ranks, evaluator, evaluator.cast(state.params), evaluator.cast(batch))
            break
        except ProcessLost:
            raise
        except Exception as raised:  # constants of another dtype; or a share that the losses cannot take
            where, error = f"{type(raised).__name__}: {raised}".partition("\n")[0], float("inf")
    if where:
        by = f"{where} differ by {error:.1g}" if error < float("inf") else where
        raise UsageError(
            f"{name} cannot be split over processes: the sum over the shares of a batch is not the whole ({by}). Its "
            "losses, or those of a regularizer, are no means over samples, or sample_axes lacks an entry of its batch."
        )


def _largest_difference(ranks: Ranks, game: Evaluator, params: Params, batch: Batch) -> tuple[str, float]:
    """What differs between the split and the whole batch, and by how much; ("", 0) if nothing does."""
    rng = torch.Generator().manual_seed(0)
    u = tree_map(lambda x: torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x), params)
    found = []
    for evaluator in (SplitEvaluator.over(ranks, game), game):
        local = LocalGame.of(evaluator, params, batch)
        J = local.jacobian()
        kinds = {"losses": local.losses(), "gradients": local.gradient()}
        found.append(kinds | {"products with J": J.mv(u), "products with its transpose": J.rmv(u)})
    for kind in found[0]:
        pairs = list(zip(*(tree_leaves(x[kind]) for x in found), strict=True))
        size = max(float(b.abs().max()) for _, b in pairs if b.numel())
        error = max(float((a - b).abs().max()) for a, b in pairs if b.numel())
        if not error <= TOLERANCE[pairs[0][1].dtype] * max(size, 1e-6) and size < float("inf"):
            return f"their {kind}", error / (size or 1.0)
    return "", 0.0
