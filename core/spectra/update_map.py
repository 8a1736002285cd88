"""The derivative of one step, which decides on convergence.

A solver's step is a function F of its state, that is, of parameters and memory together. Near a fixed point the error
is multiplied in each step by about the spectral radius of F' (Mescheder, Nowozin and Geiger 2017, arXiv 1705.10461,
Prop. 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ..derivatives.evaluator import Evaluator
from ..derivatives.field import pullback
from ..derivatives.fixed_batch import converged_buffers
from ..derivatives.operator import CHUNK, Operator
from ..errors import UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer, regularized
from ..game.tree import Batch, Params
from ..solver.inner_solve import DENSE_DERIVATIVE
from ..solver.safe_sqrt import recorded_roots
from ..solver.solver import Memory, Solver, require_suited
from .game_check import DIFFERS, jacobian_check
from .game_check_inputs import single_member


class UpdateMap:
    """F on vectors (S,), or (M, S) for an ensemble: the parameters as in ``core.game.tree.ravel``, then the memory.

    Step counters and other whole numbers are held fixed. Every draw of the step gives the same ``batch``, with its
    buffers (a run renews buffers, such as the vectors of power iterations, before each step; here they are fixed). For
    a solver with a ``period``, F is that many steps.
    """

    def __init__(self, game: Game, solver: Solver, params: Params, memory: Memory | None, batch: Batch) -> None:
        # Evaluated eagerly: a replayed graph cannot be differentiated once more.
        evaluator = Evaluator.of(game)
        self.game = Evaluator(evaluator.game, evaluator.members, evaluator.dtype, evaluator.device)
        require_suited(solver, self.game)
        self.solver, self.batch = solver, batch
        state = (params, solver.init(self.game, params) if memory is None else memory)
        self.leaves, self.structure = tree_flatten(state)
        self.moving = [n for n, x in enumerate(self.leaves) if x.is_floating_point()]
        self.lead = 0 if evaluator.members is None else 1
        self.sizes = [self.leaves[n].shape[self.lead :].numel() for n in self.moving]
        self.size = sum(self.sizes)
        self.parameters = sum(x.shape[self.lead :].numel() for x in tree_flatten(params)[0])

    def read(self, state: Tensor) -> tuple[Params, Memory]:
        """The parameters and the memory that a state vector holds."""
        filled = list(self.leaves)
        for n, part in zip(self.moving, state.split(self.sizes, dim=-1), strict=True):
            filled[n] = part.reshape(self.leaves[n].shape)
        return tree_unflatten(filled, self.structure)

    def vector(self, state: Any) -> Tensor:
        """The inverse of :meth:`read`."""
        leaves, _ = tree_flatten(state)
        return torch.cat([leaves[n].flatten(self.lead) for n in self.moving], dim=-1)

    @property
    def here(self) -> Tensor:
        """The state vector of the parameters and memory given at construction."""
        return self.vector(tree_unflatten(self.leaves, self.structure)).detach()

    def __call__(self, state: Tensor) -> Tensor:
        theta, memory = self.read(state)
        for _ in range(self.solver.period):
            theta, memory, _ = self.solver.step(self.game, theta, memory, lambda: self.batch)
            theta = self.game.project(theta)
        return self.vector((theta, memory))

    def scale(self) -> Params:
        """Units in which all numbers of the state are of one size: 1 for parameters, their own size for memory.

        A second moment of 1e-8 may matter as much to a step as a parameter of 1. Eigenvalues do not depend on units,
        but rounding errors do: without units none of these is found in single precision. The size of a memory is the
        larger of what it is now and what it is after one step, as it may be 0 at the start.
        """
        theta, memory = tree_unflatten(self.leaves, self.structure)
        after = self.read(self(self.here).detach())[1]

        def size(x: Tensor, y: Tensor) -> Tensor:
            both = torch.nan_to_num(torch.maximum(x.abs(), y.abs()), posinf=0.0) if x.is_floating_point() else x
            largest = float(both.abs().max()) if x.is_floating_point() and x.numel() else 0.0
            return both.clamp_min(1e-3 * largest) if largest > 0 else torch.ones_like(x)

        ones = tree_map(torch.ones_like, theta)
        return {"state": {"state": self.vector((ones, tree_map(size, memory, after)))}}

    def kinks(self) -> Tensor:
        """Whether (...) the step takes the square root of exactly 0, where the root has no derivative.

        A root whose argument stays 0 when the parameters move a little, such as the second moment of a dead unit, is
        differentiable and does not count.
        """
        near = self.here
        theta = near[..., : self.parameters]
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(theta.shape[-1], generator=rng, dtype=torch.float64).to(theta)
        near[..., : self.parameters] += torch.finfo(near.dtype).eps ** 0.5 * (1 + theta.abs()) * noise
        here, there = self._zeros(self.here), self._zeros(near)
        zero = torch.zeros(near.shape[:-1], dtype=torch.bool, device=near.device)
        if len(here) == len(there):
            here = [x & ~y for x, y in zip(here, there, strict=True)]
        return reduce(torch.logical_or, (x.flatten(self.lead).any(-1) for x in here), zero)

    def _zeros(self, state: Tensor) -> list[Tensor]:
        """For each root of the step, where its argument is 0; the step is computed as it is for differentiation."""
        with recorded_roots() as taken, torch.enable_grad():
            self(state)
        return [x.detach() == 0 for x in taken]

    def derivative(self) -> Operator:
        """F' at the state `here`, by products in reverse mode."""
        here = {"state": {"state": self.here}}
        _, pull = pullback(lambda p: {"state": {"state": self(p["state"]["state"])}}, here)

        @cache  # it holds a graph of the graph, so it is made only where products F' u are asked for
        def push() -> Callable[[Params], Params]:
            return pullback(pull, {"state": {"state": torch.zeros_like(here["state"]["state"])}})[1]

        return Operator(lambda u: push()(u), pull, here, here, bool(self.lead))


def update_jacobian(
    game: Game,
    solver: Solver,
    params: Params,
    memory: Memory | None = None,
    batch: Batch | None = None,
    regularizers: Sequence[Regularizer] = (),
) -> Tensor:
    """F' = d(theta+, memory+) / d(theta, memory) at ``params``: (S, S), where S counts parameters and memory.

    It is that of one step, and of a solver with a ``period``, as lookahead-minmax, that of so many.

    The order of the state, and what is held fixed, are those of :class:`UpdateMap`. The game is played with
    ``regularizers``, as by ``counterplay.run``. ``memory`` is by default the solver's first one. ``batch`` is by
    default drawn from seed 0, with buffers renewed at ``params`` until they settle, or once if they do not settle. The
    root of a second moment that is exactly 0 gets derivative 0. Raises UsageError where J is not the derivative of v
    (`game_check`), and for states too large for a matrix; ``spectrum.update_spectrum`` has their leading eigenvalues.
    """
    if regularizers:
        evaluator = Evaluator.of(game)
        game = replace(evaluator, game=regularized(evaluator.game, *regularizers))
    batch = _probe(game, params) if batch is None else batch
    answer = jacobian_check(*single_member(Evaluator.of(game), params, batch))
    if answer["status"] == DIFFERS:
        raise UsageError(f"{answer['words']}.")
    F = UpdateMap(game, solver, params, memory, batch)
    if F.size > DENSE_DERIVATIVE:
        raise UsageError(
            f"update_jacobian builds a matrix for at most {DENSE_DERIVATIVE} numbers of state; "
            f"this solver and game have {F.size}: use update_spectrum for the leading eigenvalues."
        )
    with torch.no_grad():  # the backward passes of inner solves must not record graphs: a singular one is inf or nan
        return jacrev(F, chunk_size=CHUNK)(F.here)


def _probe(game: Game, params: Params) -> Batch:
    """A batch as a step draws it, from seed 0, with buffers renewed at ``params``, in the parameters' precision."""
    rng = torch.Generator().manual_seed(0)
    one = tree_flatten(params)[0][0]
    evaluator = Evaluator(game.game if isinstance(game, Evaluator) else game, None, one.dtype, one.device)
    buffers = evaluator.refresh(params, evaluator.stack_members(lambda m: evaluator.game.buffers(rng), 1))
    return evaluator.draw([rng], converged_buffers(evaluator, params, buffers))
