"""The curvature that a leader meets who is answered at once: what makes a Stackelberg equilibrium of a point."""

from __future__ import annotations

import torch
from torch import Tensor

from ..derivatives.local import LocalGame
from ..game.tree import ravel
from .spectrum import DENSE


def leader_curvature(local: LocalGame, J: Tensor | None = None) -> Tensor | None:
    """The least eigenvalue (...) of J_11 - J_12 J_22^{-1} J_21, the first player leading the second.

    It is the curvature of the leader's loss along the other's best answers: at rest, where the other's own block is
    positive definite, the point is a Stackelberg equilibrium if it is positive (Fiez, Chasnov and Ratliff 2019, arXiv
    1906.01217, Def. 4). NaN where J_22 is singular or something is not finite. None for games that are not zero-sum
    games of two, whose formula has more than J in it, and for those too large for a matrix. ``J`` (..., N, N) is the
    Jacobian's matrix, if it is known.
    """
    if len(local.players) != 2 or not local.zero_sum:
        return None
    sizes = [ravel({i: local.params[i]}, local.ensemble).shape[-1] for i in local.players]
    if sum(sizes) > DENSE:
        return None
    J = (local.jacobian().dense() if J is None else J).detach().to("cpu", torch.float64)
    n = sizes[0]
    A, B, C, D = J[..., :n, :n], J[..., :n, n:], J[..., n:, :n], J[..., n:, n:]
    answer, failed = torch.linalg.solve_ex(D, C)
    S = A - B @ answer
    good = torch.isfinite(S).flatten(-2).all(-1) & (failed == 0)
    S = torch.where(good[..., None, None], (S + S.mT) / 2, torch.zeros_like(S))
    return torch.where(good, torch.linalg.eigvalsh(S)[..., 0], torch.nan)
