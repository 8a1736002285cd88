"""The curvature of a leader's loss along the follower's best answers, which decides on Stackelberg equilibria."""

from __future__ import annotations

import torch
from torch import Tensor

from ..derivatives.local import LocalGame
from ..game.tree import ravel
from .spectrum import DENSE


def leader_curvature(local: LocalGame, J: Tensor | None = None) -> Tensor | None:
    """The least eigenvalue (...) of J_11 - J_12 J_22^{-1} J_21, where the first player leads and the second follows.

    It is the curvature of the leader's loss along the follower's best answers. A point where v = 0 and J_22 is positive
    definite is a Stackelberg equilibrium if it is positive (Fiez, Chasnov and Ratliff 2019, arXiv 1906.01217, Def. 4).
    NaN where J_22 is singular or an entry is not finite. None for games too large for a matrix, and for all but
    zero-sum games of two players: other games need more than J. ``J`` (..., N, N) is the matrix, if it is at hand.
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
