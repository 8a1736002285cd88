"""The checks of a solver, on a few small games: purity, memory, equilibria, members, shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev
from torch.utils._pytree import tree_flatten, tree_leaves

from ..derivatives.evaluator import Evaluator
from ..errors import UsageError, UserError
from ..game.adapters import game_from_losses
from ..game.game import Game
from ..game.regularizer import Regularizer, regularized
from ..game.tree import Batch, Params, ravel, scale
from ..options import options_of
from ..registry.registry import find, make
from ..solver.solver import require_suited
from ..spectra.update_map import UpdateMap
from .assertions import TOL, Case, close, evaluator_of, is_pure, member, require, start_and_batch


def _general_sum() -> Game:
    """Two players of two numbers each, stable, neither zero-sum nor a potential game."""
    A = torch.tensor(
        [[2.0, 0.3, 1.0, -0.5], [0.3, 1.5, 0.4, 0.8], [-0.7, 0.2, 1.8, 0.1], [0.6, -1.1, 0.1, 2.2]]
    ).double()

    def losses(p: Params, batch: Batch) -> dict[str, Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        return {
            "x": 0.5 * x @ A[:2, :2] @ x + x @ A[:2, 2:] @ y + 0.2 * y @ y,
            "y": 0.5 * y @ A[2:, 2:] @ y + y @ A[2:, :2] @ x + 0.3 * x @ x,
        }

    def init(rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(2, generator=rng, dtype=torch.float64)} for i in ("x", "y")}

    return game_from_losses(losses, init)


class _NonNegative(Regularizer):
    """Strategy sets in which every parameter is at least 0."""

    def project(self, game: Game, params: Params) -> Params:
        return {i: {k: x.clamp(min=0) for k, x in tree.items()} for i, tree in params.items()}


def _bounded() -> tuple[Game, Params]:
    """A zero-sum game of parameters that are at least 0, and its solution, where each player has one that is 0."""
    P, Q, B = (
        torch.tensor(x).double()
        for x in ([[2.0, 0.3], [0.3, 1.5]], [[1.8, 0.1], [0.1, 2.2]], [[1.0, -0.5], [0.4, 0.8]])
    )
    x0, y0 = torch.tensor([0.0, 0.5]).double(), torch.tensor([0.3, 0.0]).double()
    c, d = torch.tensor([0.7, 0.0]).double() - P @ x0 - B @ y0, torch.tensor([0.0, 0.4]).double() - Q @ y0 + B.T @ x0

    def losses(p: Params, batch: Batch) -> dict[str, Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        value = x @ P @ x / 2 + x @ B @ y - y @ Q @ y / 2 + c @ x - d @ y
        return {"x": value, "y": -value}

    at = {"x": {"value": x0}, "y": {"value": y0}}
    return regularized(game_from_losses(losses, at, zero_sum=True), _NonNegative()), at


def _of_constant_gradient(slope: float) -> Game:
    """Two players of two numbers each, whose v is ``slope`` times the same everywhere."""
    a, b = torch.tensor([1.0, -0.5]).double(), torch.tensor([0.3, 2.0]).double()

    def losses(p: Params, batch: Batch) -> dict[str, Tensor]:
        return {"x": slope * a @ p["x"]["value"], "y": slope * b @ p["y"]["value"]}

    return game_from_losses(losses, {i: {"value": torch.zeros(2).double()} for i in ("x", "y")})


ARENAS: dict[str, Callable[[], Game]] = {
    "quadratic": lambda: make("game", "quadratic"),
    "a general-sum game": _general_sum,
    "dirac-gan": lambda: make("game", "dirac-gan", loss="non-saturating"),
}


def solvers(name: str) -> Iterator[Case]:
    """The checks of the solver ``name``, as (label, function) pairs."""

    def suits(arena: str) -> bool:
        """Whether the solver plays this game. A method that is defined for some games only refuses others in words."""
        evaluator, solver, params, batch = started(arena)
        try:
            solver.step(evaluator, params, solver.init(evaluator, params), lambda: batch)
        except UsageError:
            return False
        return True

    def started(arena: str, members: int | None = None) -> tuple[Evaluator, Any, Params, Batch]:
        evaluator = evaluator_of(ARENAS[arena](), members)
        params, batch = start_and_batch(evaluator)
        return evaluator, make("solver", name), params, batch

    @cache  # computed when a check runs, so that an error of the solver is a finding of that check
    def arenas() -> list[str]:
        return [arena for arena in ARENAS if suits(arena)]

    def playable() -> None:
        require(arenas(), f"it refuses every one of these games: {', '.join(ARENAS)}")

    def pure() -> None:
        for arena in arenas():
            evaluator, solver, params, batch = started(arena)
            memory = solver.init(evaluator, params)
            step = lambda p, m, t=evaluator, s=solver, b=batch: s.step(t, p, m, lambda: b)[:2]  # noqa: E731
            is_pure(step, params, memory)

    def memory() -> None:
        for arena in arenas():
            evaluator, solver, params, batch = started(arena)
            first = solver.init(evaluator, params)
            tensors = all(isinstance(x, Tensor) for x in tree_leaves(first))
            require(tensors, "the memory holds something that is no tensor")
            require(all(not x.any() for x in tree_leaves(first)), "the first memory is not zero")
            after = solver.step(evaluator, params, first, lambda b=batch: b)[1]
            shapes = [(tree_flatten(t)[1], [x.shape for x in tree_leaves(t)]) for t in (first, after)]
            require(shapes[0] == shapes[1], "the memory's structure changed in a step")

    def rest() -> None:
        """At a point where v = 0, with the first memory, a solver must not move."""
        for arena in arenas():
            evaluator, solver, params, batch = started(arena)
            zero = scale(params, 0.0)
            after = solver.step(evaluator, zero, solver.init(evaluator, zero), lambda b=batch: b)[0]
            close(ravel(after), ravel(zero), 1e-12, f"it leaves the equilibrium of {arena}")

    def derivative() -> None:
        """Where v = 0 spectra need the derivative of a step: a bare square root of a sum has none there.

        At the equilibrium of dirac-gan the followers' Hessian is singular, and methods that solve with it have none.
        """
        for arena in set(arenas()) - {"dirac-gan"}:
            evaluator, solver, params, batch = started(arena)
            F = UpdateMap(evaluator, solver, scale(params, 0.0), None, batch)
            found = jacrev(F)(F.here)
            wrong = f"F' at the equilibrium of {arena} has entries that are not finite: take norms by local.norm"
            require(bool(found.isfinite().all()), wrong)

    def settled() -> None:
        """At rest the memory must rest, too: F' is taken with the first memory where no run has made another."""
        for arena in set(arenas()) - {"dirac-gan"}:
            evaluator, solver, params, batch = started(arena)
            zero = scale(params, 0.0)
            memory = solver.init(evaluator, zero)
            for _ in range(3):
                memory = solver.step(evaluator, zero, memory, lambda b=batch: b)[1]
            maps = [UpdateMap(evaluator, solver, zero, kept, batch) for kept in (None, memory)]
            first, later = (float(torch.linalg.eigvals(jacrev(F)(F.here)).abs().max()) for F in maps)
            wrong = (
                f"with the first memory F' at the equilibrium of {arena} has radius {first:.6g}, and after three steps "
                f"there {later:.6g}: keep differences, which are zero at rest, instead of points and flags"
            )
            require(abs(first - later) <= TOL.inner * max(1.0, later), wrong)

    def proportion() -> None:
        """Where v is the same everywhere, a step of a fixed size is in proportion to it."""
        moved = []
        for slope in (1.0, 1e-3):
            evaluator, solver = evaluator_of(_of_constant_gradient(slope)), make("solver", name)
            params, batch = start_and_batch(evaluator)
            after, memory = params, solver.init(evaluator, params)
            try:
                for _ in range(3):
                    after, memory, _ = solver.step(evaluator, after, memory, lambda b=batch: b)
            except UserError:  # a method may ask for more of a game
                return
            moved.append(ravel(after) - ravel(params))
        wrong = (
            "a v that is a thousandth everywhere does not make steps of a thousandth: where they are divided by the "
            'sizes of v before, step_size_policy is "adaptive", so that no verdict follows from F\' alone'
        )
        if solver.step_size_policy == "fixed" and all(bool(x.isfinite().all()) for x in moved):
            require(bool((moved[1] - 1e-3 * moved[0]).norm() <= 1e-6 * 1e-3 * moved[0].norm()), wrong)

    def boundary() -> None:
        """At a solution on the boundary a solver must not move, unless it refuses strategy sets."""
        solver = make("solver", name)
        game, solution = _bounded()
        evaluator = evaluator_of(game)
        try:
            require_suited(solver, evaluator)
            params, memory = solution, solver.init(evaluator, solution)
            for _ in range(3):
                params, memory, _ = solver.step(evaluator, params, memory, dict)
                params = evaluator.project(params)
        except UsageError:
            return
        wrong = "it leaves a solution on the boundary of the strategy sets; say in ``unconstrained`` why it knows none"
        close(ravel(params), ravel(solution), TOL.inner, wrong)

    def ensemble() -> None:
        for arena in arenas():
            evaluator, solver, params, batch = started(arena, 3)
            alone = Evaluator(evaluator.game, None, torch.float64)
            many, kept = params, solver.init(evaluator, params)
            ones = [member(params, m) for m in range(3)]
            own = [solver.init(alone, p) for p in ones]
            for _ in range(3):
                many, kept, _ = solver.step(evaluator, many, kept, lambda b=batch: b)
                for m in range(3):
                    ones[m], own[m], _ = solver.step(alone, ones[m], own[m], lambda b=batch, m=m: member(b, m))
            for m in range(3):
                said = f"member {m} on {arena} against the run alone (local.norm is a norm for each member)"
                close(ravel(member(many, m)), ravel(ones[m]), TOL.member, said)

    def shape() -> None:
        for arena in arenas():
            evaluator, solver, params, batch = started(arena)
            after, _, info = solver.step(evaluator, params, solver.init(evaluator, params), lambda b=batch: b)
            kinds = [[(i, k, x.shape, x.dtype) for i, t in p.items() for k, x in t.items()] for p in (after, params)]
            require(kinds[0] == kinds[1], "the parameters came back with other players, shapes or types")
            complete = set(info.losses) == set(params) == set(info.gradient)
            require(complete, "StepInfo lacks a player's loss or gradient")

    def step_size() -> None:
        names = {o.name for o in options_of(find("solver", name).factory)}
        require("lr" in names, "a solver's step size is the option lr")
        make("solver", name, lr=0.01), make("solver", name, lr={"x": 0.01, "y": 0.02})

    yield "there are games it can play", playable
    yield "step is pure", pure
    yield "memory: tensors, zero at first, of one structure", memory
    yield "an equilibrium is a fixed point", rest
    yield "F' is finite at an equilibrium", derivative
    yield "F' at an equilibrium is that of the first memory", settled
    yield "steps are in proportion to v, or adaptive", proportion
    yield "strategy sets are kept or refused", boundary
    yield "a member is the run alone", ensemble
    yield "parameters keep their shape", shape
    yield "lr is the step size", step_size
