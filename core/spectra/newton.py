"""How far a point is from where v = 0: the Newton step there, and whether a strategy set ends before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..game.tree import Params, ravel, unravel
from .noise import deviation, norm

SMALL = 1e-6  # the length of a step that tries the boundary, as a share of 1 + ‖θ‖
SINGULAR = 1e-12  # a share of the largest singular value of J up to which one counts as 0


@dataclass(frozen=True)
class NewtonStep:
    """The Newton step J⁺v from a point to where J says that the mean of v over independent batches is 0, (...) each.

    norm       its norm
    noise      the norm of its standard deviation between batches; 0 if the game draws nothing
    remainder  the norm of the mean of v there, as a share of that here

    NaN where J is not known as a matrix, or not finite.
    """

    norm: Tensor
    noise: Tensor
    remainder: Tensor


def newton_step(
    J: Tensor | None, v: Tensor, params: Params, gradients: Callable[[Params], Tensor], ensemble: bool
) -> NewtonStep:
    """The step from ``params`` for J ([M,] N, N) and v (batches, [M,] N); ``gradients`` gives v at another point."""
    here = norm(v.mean(0))
    if J is None:
        unknown = torch.full_like(here, torch.nan)
        return NewtonStep(unknown, unknown, unknown)
    finite = J.isfinite().flatten(-2).all(-1) & v.isfinite().all(-1).all(0)
    rhs = v.double().nan_to_num().movedim(0, -1)  # ([M,] N, batches)
    steps = torch.linalg.lstsq(J.nan_to_num(), rhs, rcond=SINGULAR, driver="gelsd").solution.movedim(-1, 0)
    mean = steps.mean(0)
    there = unravel((ravel(params, ensemble).cpu() - mean).to(v), params)
    left = norm(gradients(tree_map(lambda x, like: x.to(like), there, params)).mean(0))
    remainder = torch.where(here > 0, left / here, torch.zeros_like(here))
    return NewtonStep(*(torch.where(finite, x.to(here), torch.nan) for x in (norm(mean), deviation(steps), remainder)))


def is_at_boundary(game: Evaluator, params: Params, v: Tensor) -> Tensor:
    """Whether a small step along -v ([M,] N) leaves the strategy sets, ([M],): there v need not be 0 at a solution."""
    if not game.projects:
        return torch.zeros(v.shape[:-1], dtype=torch.bool)
    ensemble = game.members is not None
    here = ravel(params, ensemble).cpu()
    scale = 1 + norm(here)
    moved = here - (SMALL * scale / norm(v).clamp(min=torch.finfo(v.dtype).tiny))[..., None] * v
    like = tree_map(lambda x, own: x.to(own), unravel(moved, params), params)
    off = norm(ravel(game.project(like), ensemble).cpu() - moved)
    return off > max(1e-3 * SMALL, 8 * torch.finfo(here.dtype).eps) * scale  # else it is rounding
