"""v over the plane of a game of two parameters: where a path does not come, the path says nothing of the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import buffers_at_rest
from ..derivatives.local import LocalGame
from ..game.game import Game, innermost
from ..game.tree import Batch, Buffers, Params, leaves, ravel, unravel
from ..log.plane_grid import mesh, window
from ..loop.observers import Seen
from .recorders import Append, numpy


def is_planar(game: Evaluator, params: Params) -> bool:
    """Whether ``params`` are one point of a plane, in a game that shows nothing else."""
    shows = type(innermost(game)).show is not Game.show
    return game.members is None and not shows and ravel(params).numel() == 2


@dataclass
class PlaneRecorder:
    """At the end of a run, v on a grid of points around all that was recorded of its path (steps, 2)."""

    append: Append
    game: Evaluator
    probe: Callable[[Buffers], Batch]
    path: Callable[[], Any]

    def rows(self, columns: dict[str, Any]) -> None:
        """Of steps that are not the last there is nothing to keep."""

    def __call__(self, seen: Seen) -> None:
        if seen.last:
            points = mesh(window(self.path()[:, None]))  # (C, C, 2)
            v = self._field(torch.from_numpy(points).reshape(-1, 2).to(leaves(seen.params)[0]), seen)
            if v is not None:
                self.append("samples", {"step": seen.step, "plane": points, "field": numpy(v).reshape(points.shape)})

    def _field(self, points: Tensor, seen: Seen) -> Tensor | None:
        """v at ``points`` (n, 2), all at once as an ensemble, each under its own buffers; None where that cannot be."""
        n = len(points)

        def copies(tree: Any) -> Any:
            return tree_map(lambda x: x.expand(n, *x.shape) if isinstance(x, Tensor) else x, tree)

        many = replace(self.game, members=n, trace=False)
        try:
            params = unravel(points, copies(seen.params))
            buffers = buffers_at_rest(many, params, copies(seen.buffers))
            return ravel(LocalGame.of(many, params, {**copies(self.probe(seen.buffers)), **buffers}).gradient(), True)
        except Exception:  # anyone's game, far from where it was played: no reason to lose a run that is over
            return None
