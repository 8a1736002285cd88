"""Repeated play of a game with two actions, C and D, by strategies that remember one round.

A strategy is five probabilities of C: in the first round, and after the joint actions CC, CD, DC, DD (own action
first). Let p_0 be the distribution of the joint action in the first round, P the 4x4 transition matrix from one round
to the next, and R the payoffs. Then the discounted sums of payoffs are exactly

    sum_t gamma^t p_0^T P^t R  =  p_0^T (I - gamma P)^{-1} R

Foerster et al. (2018, arXiv 1709.04326), iterated games.
"""

from __future__ import annotations

import torch
from torch import Tensor


def discounted(first: Tensor, second: Tensor, payoffs: Tensor, gamma: float) -> Tensor:
    """Each player's discounted sum of payoffs, (2,).

    ``first`` and ``second`` are the strategies (5,); ``payoffs`` (4, 2) are those of CC, CD, DC, DD to each player.
    """
    p, q = first[1:], torch.stack([second[k] for k in (1, 3, 2, 4)])  # (4,): DC for one player is CD for the other
    P = joint(p, q)  # (4, 4)
    # We take the inverse because torch.linalg.solve differentiates wrongly here: where autograd is off, its backward
    # pass takes the LU factors for constants, and forward mode through that is silently wrong. The matrix is diagonally
    # dominant, so the inverse is as accurate.
    inverse = torch.linalg.inv(torch.eye(4, dtype=P.dtype, device=P.device) - gamma * P)
    return joint(first[:1], second[:1])[0] @ inverse @ payoffs.to(P)


def joint(p: Tensor, q: Tensor) -> Tensor:
    """The distribution of the joint action, (S, 4), if the players choose C with probabilities ``p`` and ``q`` (S,)."""
    return torch.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], dim=1)
