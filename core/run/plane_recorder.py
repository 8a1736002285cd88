"""v on a grid over the plane, for games of two parameters: it shows the field also where the run did not go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import converged_buffers
from ..derivatives.local import LocalGame
from ..game.game import Game, innermost
from ..game.tree import Batch, Buffers, Params, leaves, ravel, unravel
from ..log.plane_grid import mesh, window
from ..loop.observers import Seen
from .recorders import Append, numpy


def is_planar(game: Evaluator, params: Params) -> bool:
    """Whether ``params`` are two numbers, without an ensemble, in a game that does not show anything itself."""
    shows = type(innermost(game)).show is not Game.show
    return game.members is None and not shows and ravel(params).numel() == 2


@dataclass
class PlaneRecorder:
    """Records v on a grid of points around the path of the run, which is (steps, 2), when the run ends."""

    append: Append
    game: Evaluator
    probe_batch: Callable[[Buffers], Batch]
    path: Callable[[], Any]

    def rows(self, columns: dict[str, Any]) -> None:
        """Record nothing: these steps are not the last."""

    def __call__(self, seen: Seen) -> None:
        if seen.last:
            points = mesh(window(self.path()[:, None]))  # (C, C, 2)
            v = self._field(torch.from_numpy(points).reshape(-1, 2).to(leaves(seen.params)[0]), seen)
            if v is not None:
                self.append("samples", {"step": seen.step, "plane": points, "field": numpy(v).reshape(points.shape)})

    def _field(self, points: Tensor, seen: Seen) -> Tensor | None:
        """v at ``points`` (n, 2), as an ensemble of n members with their own buffers. None: it cannot be computed."""
        n = len(points)

        def copies(tree: Any) -> Any:
            return tree_map(lambda x: x.expand(n, *x.shape) if isinstance(x, Tensor) else x, tree)

        many = replace(self.game, members=n, trace=False)
        try:
            params = unravel(points, copies(seen.params))
            buffers = converged_buffers(many, params, copies(seen.buffers))
            batch = {**copies(self.probe_batch(seen.buffers)), **buffers}
            return ravel(LocalGame.of(many, params, batch).gradient(), True)
        except Exception:  # a user's game may fail far from its path; the run, which is over, must not
            return None
