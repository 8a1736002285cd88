"""A solver's step on a small game as one C function, which takes many steps of each member.

The step of one member is traced, with the settings that differ between members as inputs, and written as C by
``core.compiled.step_source``. Before the function is used, two of its steps are compared with the solver's own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Cost, Spent
from ..game.tree import Params, leaves, like
from ..solver.solver import Draw, Memory, Solver, StepInfo
from ..solver.state import State, tensors
from ..tracing.comparison import compare
from ..tracing.guards import Guard, require_pure
from ..tracing.pytrees import rebuild
from .c_compiler import compile_c
from .c_source import Unwritable
from .step_source import Source, step_outputs, step_source

NUMBERS = 256  # most parameters of a member; a log holds as many at every step

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Alive = NDArray[np.bool_]


@dataclass(frozen=True)
class Played:
    """The result of K steps: the last parameters and memory, and the values of each step at its start."""

    params: Params
    memory: Memory
    losses: Array  # (K, M, P)
    gradients: Array  # (K, M, N)
    points: Array  # (K, M, N)
    inner: Mapping[str, NDArray[Any]]  # (K, M) each: how the inner solve went
    passes: Counts  # (K, M, L): how often each loop in a step was gone through
    sound: Alive  # (K, M): whether all values before and after a step are finite, and the step would raise no error


@dataclass(frozen=True)
class CProgram:
    """The C function, and the game and ensemble that it was made for."""

    function: Any
    source: Source
    members: int | None
    players: tuple[str, ...]
    numbers: int

    def __call__(self, params: Params, memory: Memory, steps: int, alive: Alive | None = None) -> Played:
        """Take ``steps`` steps. Members that are not ``alive`` stay where they are."""
        M, source = self.members or 1, self.source
        state = [x.expand(M) if own else x for x, own in zip(tensors((params, memory)), source.shared, strict=True)]
        state = [x.clone(memory_format=torch.contiguous_format) for x in state]  # the function writes into it
        moving = np.ones(M, np.bool_) if alive is None else np.ascontiguousarray(alive.reshape(M))
        sizes = len(self.players), self.numbers, self.numbers, len(source.inner)
        losses, gradients, points, inner = (np.empty((steps, M, n)) for n in sizes)
        passes, sound = np.empty((steps, M, len(source.passes)), np.int64), np.empty((steps, M), np.bool_)
        self.function(
            ctypes.c_longlong(steps), ctypes.c_longlong(M), _pointers(*state, *source.constants),
            _pointers(moving, losses, gradients, points, inner, passes, sound),
        )  # fmt: skip
        after = (x[0].clone() if own else x for x, own in zip(state, source.shared, strict=True))
        params, memory = rebuild((params, memory), lambda _: next(after))
        report = {
            name: inner[..., k].astype(str(dtype).removeprefix("torch."))
            for k, (name, dtype) in enumerate(source.inner.items())
        }
        return Played(params, memory, losses, gradients, points, report, passes, sound)


@dataclass(frozen=True)
class Compiled(Solver):
    """``solver`` with its step as ``program``. ``fixed`` is what a step spends without the passes of its loops.

    ``guard`` tells whether everything that the program was made from is unchanged.
    """

    program: CProgram
    solver: Solver
    guard: Guard
    fixed: Spent = (0, 0, 0)

    def step(self, game: Any, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        draw()  # for observers, which get the batch
        program = self.program
        played = program(params, memory, 1)
        if program.source.fails and not played.sound.all():  # perhaps the solver's own step raises an error here
            self.solver.step(replace(game, trace=False, cost=Cost()), params, memory, draw)
        gradients, products, samples = self.spent(played)[0].tolist()
        game.cost.spend((gradients, round(products), round(samples)), len(program.players))
        tensors = leaves(params)
        lead = () if program.members is None else (program.members,)
        sizes = [x.numel() // (program.members or 1) for x in tensors]
        losses, v = (torch.from_numpy(x[0]).to(tensors[0].dtype) for x in (played.losses, played.gradients))
        gradient = [part.reshape(x.shape) for part, x in zip(v.split(sizes, -1), tensors, strict=True)]
        named = dict(zip(program.players, losses.reshape(*lead, -1).unbind(-1), strict=True))
        inner = {name: torch.from_numpy(x[0].reshape(lead)) for name, x in played.inner.items()}
        return played.params, played.memory, StepInfo(named, like(params, gradient), inner)

    def spent(self, played: Played) -> Array:
        """What each step spent, (K, 3). All members go through a loop until the last one is done."""
        longest = played.passes.max(axis=1)  # (K, L)
        return np.array(self.fixed) + longest @ np.array(self.program.source.passes).reshape(-1, 3)

    def agrees(self, game: Evaluator, state: State) -> bool:
        """Whether a step from ``state`` agrees with the solver's own, or at least has the source it would have now."""
        own = replace(game, trace=False, cost=Cost())
        before = state.params, state.memory
        expected = _own_step(own, self.solver, before, state)
        try:
            compare(_judged(step_outputs(*self.step(own, *before, dict), before)), _judged(expected), 1.0)
        except ArithmeticError:
            return step_source(game, self.solver, state).text == self.program.source.text
        return True


def compiled_solver(game: Evaluator, solver: Solver, state: State) -> Compiled:
    """Compile the step of ``solver`` on ``game``.

    Raises Unwritable, Uncompilable, or an error of a plugin's code where a step cannot be compiled: if it draws,
    branches on numbers, renews buffers, changes what it reads, or is large.
    """
    params, M = state.params, game.members or 1
    numbers = sum(x.numel() for x in leaves(params)) // M
    if numbers > NUMBERS:
        raise Unwritable(f"{numbers} parameters are too many: up to {NUMBERS} are written out")
    if leaves(params)[0].device.type != "cpu":
        raise Unwritable("it is not on the CPU")
    own = replace(game, trace=False, cost=Cost())
    own.field(own.players, params, own.draw(state.generators(), state.buffers))  # counts the derivatives in the losses

    def make() -> CProgram:
        source = step_source(game, solver, state)
        return CProgram(compile_c(source.text, "play"), source, game.members, tuple(params), numbers)

    def evaluate() -> list[tuple[tuple[Params, Memory], Any, Spent]]:
        """Two steps of the solver, each as (state before, result, cost)."""
        steps: list[tuple[tuple[Params, Memory], Any, Spent]] = []
        before = params, state.memory
        for _ in range(2):
            own.cost.spent = 0, 0, 0
            result = _own_step(own, solver, before, state)
            steps.append((before, result, own.cost.spent))
            before = result[:2]
        return steps

    roots = (game.game, frozenset({"losses", "refresh", "project"})), (solver, frozenset({"step"}))
    reads, program, steps = require_pure(roots, make, evaluate)
    found = Compiled(program, solver, Guard(reads))
    costs = []
    for before, expected, spent in steps:
        compare(_judged(step_outputs(*found.step(own, *before, dict), before)), _judged(expected))
        costs.append(np.array(spent) - found.spent(program(*before, 1))[0])
    if not np.allclose(costs[0], costs[1], rtol=0, atol=1e-9):
        raise Unwritable("its cost varies from step to step")
    gradients, products, samples = costs[0].tolist()
    return replace(found, fixed=(gradients, round(products), round(samples)))


def _own_step(game: Evaluator, solver: Solver, before: tuple[Params, Memory], state: State) -> Any:
    """The solver's own step from ``before``, as :func:`step_outputs` orders it."""
    after, memory, info = solver.step(game, *before, lambda: game.draw(state.generators(), state.buffers))
    return step_outputs(game.project(after), memory, info, before)


def _judged(step: tuple[Any, ...]) -> tuple[Any, ...]:
    """A step for a comparison. A residual is relative to 1, so it is compared as 1 + residual."""
    *others, inner = step
    return *others, {name: 1 + x if name == "residual" else x for name, x in inner.items()}


def _pointers(*arrays: Any) -> Any:
    addresses = [x.data_ptr() if isinstance(x, Tensor) else x.ctypes.data for x in arrays]
    return (ctypes.c_void_p * len(addresses))(*addresses)
