"""Quadratic games of n players with known answers, and every method's direction there, written out densely.

l_i = 1/2 theta^T Q_i theta + c_i^T theta, with Q_i any symmetric matrix: no loss lacks a term in anyone's strategy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.game.tree import ravel, unravel

from .cases import F64, generator, random


@dataclass(frozen=True)
class Arena:
    """A quadratic game, a point, and dense algebra there; ``bend`` adds bend cos(w_i . theta) to each loss."""

    sizes: tuple[int, ...]
    Q: Tensor  # (n, N, N)
    c: Tensor  # (n, N)
    game: cp.Game
    theta: Tensor  # (N,)

    @property
    def params(self):
        return unravel(self.theta, self.game.init(generator()))

    def part(self, i):
        end = sum(self.sizes[: i + 1])
        return slice(end - self.sizes[i], end)

    @property
    def parts(self):
        return [self.part(i) for i in range(len(self.sizes))]

    def gradient(self, i, theta=None):
        return self.Q[i] @ (self.theta if theta is None else theta) + self.c[i]

    def v(self, theta=None):
        return torch.cat([self.gradient(i, theta)[p] for i, p in enumerate(self.parts)])

    @property
    def J(self):
        return torch.cat([self.Q[i][p] for i, p in enumerate(self.parts)])

    @property
    def off(self):
        J = self.J.clone()
        for p in self.parts:
            J[p, p] = 0
        return J

    def rows(self, values):
        """One number per player, for each number of its own."""
        return torch.cat([torch.full((n,), float(x), dtype=F64) for n, x in zip(self.sizes, values, strict=True)])

    def named(self, values):
        return {f"p{i}": x for i, x in enumerate(values)}


def arena(sizes, seed, opposed=False, curvature=0.0, shift=True, bend=0.0):
    n, N = len(sizes), sum(sizes)
    ends = np.cumsum(sizes)
    parts = [slice(int(e) - s, int(e)) for e, s in zip(ends, sizes, strict=True)]
    Q = random(n, N, N, seed=seed)
    Q = (Q + Q.mT) / 2
    for i, p in enumerate(parts):
        Q[i][p, p] += curvature * torch.eye(sizes[i], dtype=F64)
        for j, q in enumerate(parts):
            if opposed and j > i:  # J_ij = -J_ji^T
                Q[j][q, p] = -Q[i][p, q].T
                Q[j][p, q] = Q[j][q, p].T
    c = random(n, N, seed=seed + 50) if shift else torch.zeros(n, N, dtype=F64)
    w = random(n, N, seed=seed + 60)
    if opposed and bend:
        assert n == 2
        Q[1], c[1], w[1] = -Q[0], -c[0], w[0]
    sign = [1.0, -1.0] if opposed else [1.0] * n

    def losses(params, batch):
        x = torch.cat([params[f"p{i}"]["value"] for i in range(n)])
        return {
            f"p{i}": x @ (Q[i] @ x) / 2 + c[i] @ x + (bend * sign[i] * torch.cos(w[i] @ x) if bend else 0.0)
            for i in range(n)
        }

    start = {f"p{i}": {"value": random(s, seed=seed + 70 + i)} for i, s in enumerate(sizes)}
    game = cp.game_from_losses(losses, start, zero_sum=opposed)
    return Arena(tuple(sizes), Q, c, game, ravel(start))


SIZES = {"two players": (2, 3), "three players": (2, 1, 3)}
EVERY = [
    pytest.param(sizes, opposed, id=f"{name}, {'zero' if opposed else 'general'}-sum")
    for name, sizes in SIZES.items()
    for opposed in (True, False)
]
every_game = pytest.mark.parametrize(("sizes", "opposed"), EVERY)


# --------------------------------------------------------------------------------------- directions and their formulas


def chi(a, alpha, at=None):
    """sum_{j != i} J_ji^T alpha_j grad_j l_i for each player i; ``at[i]``: where its l_i is taken."""
    out = []
    for i, p in enumerate(a.parts):
        g = alpha * a.gradient(i, None if at is None else at[i])
        g[p] = 0
        out.append(a.J[:, p].T @ g)
    return torch.cat(out)


def sos(a, alpha, share=0.5, b=0.1):
    xi, v, shape = a.v() - a.off @ (alpha * a.v()), a.v(), chi(a, alpha)
    along = float(-shape @ xi)
    p1 = 1.0 if along >= 0 else min(1.0, float(-share * xi @ xi / along))
    p2 = float(v @ v) if float(v.norm()) < b else 1.0
    return xi - min(p1, p2) * shape


def looked(a, alpha):
    """Where player i sees the others, one step ahead."""
    ahead = []
    for p in a.parts:
        step = alpha * a.v()
        step[p] = 0
        ahead.append(a.theta - step)
    return ahead


def exact_lola(a, alpha):
    at = looked(a, alpha)
    return torch.cat([a.gradient(i, x)[p] for i, (p, x) in enumerate(zip(a.parts, at, strict=True))]) - chi(
        a, alpha, at
    )


def unrolled(a, alpha, k, seers):
    """grad_i l_i + S^T grad_{-i} l_i after k steps of the others, S their derivative with respect to theta_i."""
    out = a.v()
    for i in seers:
        p, x = a.part(i), a.theta.clone()
        S = torch.zeros(len(x), a.sizes[i], dtype=F64)
        S[p] = torch.eye(a.sizes[i], dtype=F64)
        still = torch.ones_like(x)
        still[p] = 0
        for _ in range(k):
            x, S = x - still * alpha * a.v(x), S - (still * alpha)[:, None] * (a.J @ S)
        out[p] = S.T @ a.gradient(i, x)
    return out


def symplectic(a, strength, align):
    v, J = a.v(), a.J
    adjusted = (J.T - J) / 2 @ v
    if align:
        adjusted = adjusted * torch.sign((v @ J.T @ v) * (adjusted @ J.T @ v) / len(v) + 0.1)
    return v + strength * adjusted


def response(a, leader, damping):
    """-J_FF^{-1} J_F1 and the followers' places."""
    lead = a.part(leader)
    F = [k for k in range(len(a.theta)) if not lead.start <= k < lead.stop]
    A = a.J[F][:, F] + damping * torch.eye(len(F), dtype=F64)
    return -torch.linalg.solve(A, a.J[F][:, lead]), F, lead


def stackelberg(a, leader, damping=0.0):
    r, F, lead = response(a, leader, damping)
    out = a.v()
    out[lead] += r.T @ a.gradient(leader)[F]
    return out


def ridge(a, eta, leader, damping=0.0):
    r, F, lead = response(a, leader, damping)
    out = a.v()
    out[F] += r @ (eta * a.v())[lead] / eta[F]
    return out


def formulas(a, eta, x, players):
    """(name, options, direction) with ``x`` one number per player for the option of each method."""
    named, w = a.named(x), a.rows(x)
    first = a.rows([i == 0 for i in range(players)])
    off, v, last = a.off, a.v(), players - 1
    yield "simgd", {}, v
    yield "conopt", {"gamma": named}, v + w * (a.J.T @ v)
    yield "jare", {"gamma": named}, v + w * (off.T @ v)
    yield "reg-generator-only", {"gamma": named}, v + first * w * (off.T @ v)
    yield "reg-discriminator-only", {"gamma": named}, v + (1 - first) * w * (off.T @ v)
    yield "adversarial-extrapolation", {"gamma": named}, v - w / 2 * (off @ v)
    yield "lcgd", {}, v - off @ (eta * v)
    yield "sga", {"strength": named, "align": False}, symplectic(a, w, False)
    yield "sga", {"strength": named}, symplectic(a, w, True)
    yield "hamiltonian", {}, a.J.T @ v
    yield "la", {"opponent_lr": named}, v - off @ (w * v)
    yield "la", {}, v - off @ (eta * v)
    yield "lola", {"opponent_lr": named}, v - off @ (w * v) - chi(a, w)
    yield "lola", {}, v - off @ (eta * v) - chi(a, eta)
    yield "lola", {"opponent_lr": named, "exact": True}, exact_lola(a, w)
    yield "sos", {"opponent_lr": named}, sos(a, w)
    yield "sos", {"opponent_lr": named, "a": 0.01}, sos(a, w, 0.01)
    yield "sos", {"b": 0.99}, sos(a, eta, 0.5, 0.99)
    yield "unrolled", {"k": 3, "opponent_lr": named}, unrolled(a, w, 3, [0])
    yield "unrolled", {"k": 4, "everyone": True}, unrolled(a, eta, 4, range(players))
    yield "stackelberg", {}, stackelberg(a, 0)
    yield "stackelberg", {"leader": f"p{last}", "damping": 0.3}, stackelberg(a, last, 0.3)
    yield "follow-the-ridge", {}, ridge(a, eta, 0)
    yield "follow-the-ridge", {"leader": f"p{last}", "damping": 0.3}, ridge(a, eta, last, 0.3)
    yield "ogda", {}, 2 * v
    yield "past-extragradient", {}, v


def order(steps, errors):
    """The slope of log error over log step."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])
