"""The step of competitive gradient descent for given step sizes, shared by cgd and acgd.

    d = -(I + eta J_off)^{-1} eta v,   solved as   (I + S J_off S) X = -S v,   d = S X,   S = sqrt(eta)

Two players whose mixed derivatives are opposite (zero-sum) have J_off = [[0, B], [-B^T, 0]]. Eliminating one of
them leaves a symmetric positive definite system for the other, with M = S_x B S_y:

    (I + M M^T) X = -S_x (v_x - B eta_y v_y),    d_x = S_x X,    d_y = S_y M^T X - eta_y v_y

which conjugate gradient solves in 2k + 1 products for k iterations: M^T X is accumulated on the way. Either player
can be the one solved for; by default it is the one with fewer parameters.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Alg. 1. Otherwise GMRES, or a dense solve when small.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.errors import UsageError
from ....core.game.tree import Params, Player, ravel, unravel
from ....core.solver.inner_solve import Freeze, Report, System, differentiated, is_dense, report, solve, tolerance
from ....core.solver.krylov import conjugate_gradient_with_image

Play = Callable[[Params, Params | None], tuple[Params, Report]]


def competitive(
    local: LocalGame, method: str, tol: float | None, max_iter: int, solve_for: Player | None = None
) -> Play:
    """The Nash step d of the local game, and what the inner solve reports, as a function of ``eta`` (like the
    parameters) and of the last step, from which the solve starts, or None.

    To be called before v is asked for, whose pass through the losses the solve shares. Raises UsageError where
    ``solve_for`` is no player of the game, or there is no choice of one.
    """
    if solve_for is not None:
        _chosen(local, method, solve_for)
    here = ravel(local.params, local.ensemble)  # (..., N)
    symmetric = method in ("auto", "cg") and local.zero_sum and len(local.players) == 2
    if symmetric and not is_dense(method, here.shape[-1], here) and not differentiated(here):
        sizes = {i: ravel({i: local.params[i]}, local.ensemble).shape[-1] for i in local.players}
        return _conjugate_gradient(
            local, tolerance(tol, here), max_iter, solve_for or min(sizes, key=sizes.__getitem__)
        )

    def play(eta: Params, last: Params | None) -> tuple[Params, Report]:
        S = ravel(eta, local.ensemble).sqrt()

        def system(freeze: Freeze) -> System:
            J_off, s = local.at(freeze(local.params)).jacobian().off_diagonal(), freeze(S)

            def matrix() -> Tensor:
                eye = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
                return eye + s.unsqueeze(-1) * J_off.dense() * s.unsqueeze(-2)

            return System(lambda x: x + s * J_off.vmv(s * x), lambda x: x + s * J_off.vrmv(s * x), matrix)

        b = -S * ravel(local.gradient(), local.ensemble)
        start = None if last is None else _scaled(ravel(last, local.ensemble), S)
        X, inner = solve(system, b, "gmres" if method == "cg" else method, tol, max_iter, start)
        return unravel(S * X, local.params), inner

    return play


def _chosen(local: LocalGame, method: str, player: Player) -> None:
    """Raise UsageError where the system cannot be that of ``player`` alone."""
    has = f"the players are {', '.join(local.players)}"
    if player not in local.players:
        raise UsageError(f"solve_for is {player!r}; {has}.")
    if len(local.players) != 2 or not local.zero_sum:
        why = has if len(local.players) != 2 else "this one is not known to be one"
        raise UsageError(f"solve_for chooses one of the two players of a zero-sum game; {why}: leave it out.")
    if method in ("dense", "gmres"):
        raise UsageError(f"method {method} solves for both players at once: leave solve_for out, or use auto or cg.")


def _scaled(d: Tensor, S: Tensor) -> Tensor:
    """X of the step d under today's step sizes, which are not those that d was made with."""
    return torch.where(S == 0, 0.0, d / S)


def _conjugate_gradient(local: LocalGame, tol: float, max_iter: int, x: Player) -> Play:
    (y,) = (i for i in local.players if i != x)
    J = local.jacobian()
    B, C = J.block(x, y), J.block(y, x)  # C = -B^T
    v = local.gradient(B.mv, C.mv)

    def vector(player: str, tree: Params) -> Tensor:
        return ravel({player: tree[player]}, local.ensemble)

    def play(eta: Params, last: Params | None) -> tuple[Params, Report]:
        eta_y, v_x, v_y = vector(y, eta), vector(x, v), vector(y, v)
        S_x, S_y = vector(x, eta).sqrt(), eta_y.sqrt()

        def system(p: Tensor) -> tuple[Tensor, Tensor]:
            Mt_p = -S_y * C.vmv(S_x * p)
            return p + S_x * B.vmv(S_y * Mt_p), Mt_p

        b = -S_x * (v_x - B.vmv(eta_y * v_y))
        start = None if last is None else _scaled(vector(x, last), S_x)
        solution, Mt_X = conjugate_gradient_with_image(system, b, v_y, tol, max_iter, start)
        d_x, d_y = S_x * solution.x, S_y * Mt_X - eta_y * v_y
        here = local.params
        d = {**unravel(d_x, {x: here[x]}), **unravel(d_y, {y: here[y]})}
        return {i: d[i] for i in local.players}, report(solution)

    return play
