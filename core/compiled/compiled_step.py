"""A solver's step on a small game as one C function, which takes many steps of each member.

The step of one member is traced, with the settings that differ between members as inputs, and written as C by
``core.compiled.c_source``. Before the function is used, two of its steps are compared with the solver's own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Cost, Spent
from ..game.buffers import primitives_of
from ..game.tree import Params, leaves, like
from ..solver.solver import Draw, Memory, Solver, StepInfo
from ..solver.state import State, tensors
from ..tracing.capture import capture
from ..tracing.comparison import compare
from ..tracing.guards import Guard, run_if_pure
from ..tracing.pytrees import rebuild
from .c_compiler import compile_c
from .c_source import CTYPES, PRELUDE, Unwritable, Writer, write

NUMBERS = 256  # most parameters of a member; a log holds as many at every step

Array = NDArray[np.float64]
Alive = NDArray[np.bool_]


@dataclass(frozen=True)
class Played:
    """The result of K steps: the last parameters and memory, and the values of each step at its start."""

    params: Params
    memory: Memory
    losses: Array  # (K, M, P)
    gradients: Array  # (K, M, N)
    points: Array  # (K, M, N)
    sound: Alive  # (K, M): whether all values before and after a step are finite


@dataclass(frozen=True)
class Program:
    """The C function, and the game and ensemble that it was made for."""

    function: Any
    members: int | None
    players: tuple[str, ...]
    numbers: int
    shared: tuple[bool, ...]  # which tensors of the state all members share, such as step counts
    constants: tuple[Tensor, ...]  # buffers and settings, (M, ...)

    def __call__(self, params: Params, memory: Memory, steps: int, alive: Alive | None = None) -> Played:
        """Take ``steps`` steps. Members that are not ``alive`` stay where they are."""
        M = self.members or 1
        state = [x.expand(M) if own else x for x, own in zip(tensors((params, memory)), self.shared, strict=True)]
        state = [x.clone(memory_format=torch.contiguous_format) for x in state]  # the function writes into it
        moving = np.ones(M, np.bool_) if alive is None else np.ascontiguousarray(alive.reshape(M))
        losses, gradients, points = (np.empty((steps, M, n)) for n in (len(self.players), self.numbers, self.numbers))
        sound = np.empty((steps, M), np.bool_)
        self.function(
            ctypes.c_longlong(steps), ctypes.c_longlong(M), _pointers(*state, *self.constants),
            _pointers(moving, losses, gradients, points, sound),
        )  # fmt: skip
        after = (x[0].clone() if own else x for x, own in zip(state, self.shared, strict=True))
        params, memory = rebuild((params, memory), lambda _: next(after))
        return Played(params, memory, losses, gradients, points, sound)


@dataclass(frozen=True)
class Compiled(Solver):
    """A solver whose step is ``program``. ``spent`` are the gradients, products and samples of one step.

    ``guard`` tells whether everything that ``source`` was made from is unchanged.
    """

    program: Program
    spent: Spent
    source: str
    guard: Guard

    def step(self, game: Any, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        draw()  # for observers, which get the batch
        game.cost.spend(self.spent, len(self.program.players))
        played = self.program(params, memory, 1)
        tensors = leaves(params)
        lead = () if self.program.members is None else (self.program.members,)
        sizes = [x.numel() // (self.program.members or 1) for x in tensors]
        losses, v = (torch.from_numpy(x[0]).to(tensors[0].dtype) for x in (played.losses, played.gradients))
        gradient = [part.reshape(x.shape) for part, x in zip(v.split(sizes, -1), tensors, strict=True)]
        seen = dict(zip(self.program.players, losses.reshape(*lead, -1).unbind(-1), strict=True))
        return played.params, played.memory, StepInfo(seen, like(params, gradient))

    def agrees(self, game: Evaluator, solver: Solver, state: State) -> bool:
        """Whether a step from ``state`` agrees with the solver's own, or at least has the source it would have now."""
        own = replace(game, trace=False, cost=Cost())
        before = state.params, state.memory
        params, memory, info = solver.step(own, *before, lambda: own.draw(state.generators(), state.buffers))
        expected = _ordered(_seen(own.project(params), memory, info), (*before, dict.fromkeys(before[0]), before[0]))
        try:
            compare(_seen(*self.step(own, *before, dict)), expected, 1.0)
        except ArithmeticError:
            return _source(game, solver, state)[0] == self.source
        return True


def compiled_solver(game: Evaluator, solver: Solver, state: State) -> Compiled:
    """Compile the step of ``solver`` on ``game``.

    Raises Unwritable, Uncompilable, or an error of a plugin's code where a step cannot be compiled: if it draws,
    iterates until a condition holds, renews buffers, changes what it reads, or is large.
    """
    params, M = state.params, game.members or 1
    numbers = sum(x.numel() for x in leaves(params)) // M
    if numbers > NUMBERS:
        raise Unwritable(f"{numbers} parameters are too many: up to {NUMBERS} are written out")
    if leaves(params)[0].device.type != "cpu":
        raise Unwritable("it is not on the CPU")
    own = replace(game, trace=False, cost=Cost())

    def make() -> tuple[Program, str]:
        source, shared, constants = _source(game, solver, state)
        return Program(compile_c(source, "play"), game.members, tuple(params), numbers, shared, constants), source

    def evaluate() -> tuple[list[tuple[tuple[Params, Memory], Any]], Spent]:
        """Two steps of the solver, each as (state before, result), and the cost of one."""
        steps: list[tuple[tuple[Params, Memory], Any]] = []
        before = params, state.memory
        for _ in range(2):
            own.cost.spent = 0, 0, 0
            theta, memory, info = solver.step(own, *before, lambda: own.draw(state.generators(), state.buffers))
            form = *before, dict.fromkeys(before[0]), before[0]
            steps.append((before, _ordered(_seen(own.project(theta), memory, info), form)))
            before = steps[-1][1][:2]
        return steps, own.cost.spent

    roots = (game.game, frozenset({"losses", "refresh", "project"})), (solver, frozenset({"step"}))
    reads, (program, source), (steps, spent) = run_if_pure(roots, make, evaluate)
    found = Compiled(program, spent, source, Guard(reads))
    for before, expected in steps:
        compare(_seen(*found.step(own, *before, dict)), expected)
    return found


def _source(game: Evaluator, solver: Solver, state: State) -> tuple[str, tuple[bool, ...], tuple[Tensor, ...]]:
    """The C source, which tensors of the state all members share, and the inputs that do not change."""
    alone = Evaluator(game.game, None, game.dtype, game.device)
    lists: list[Tensor] = []  # settings that have a value for each member

    def first(values: list[float]) -> Tensor:
        lists.append(torch.tensor(values, dtype=leaves(state.params)[0].dtype))
        return lists[-1][0]

    params, buffers = game.member(state.params, 0), game.member(state.buffers, 0)
    memory = _resettled(solver, game.members, first).init(alone, params)

    def step(params: Params, memory: Memory, buffers: Any, settings: list[Tensor]) -> tuple[Any, ...]:
        given = iter(settings)
        own = _resettled(solver, game.members, lambda _: next(given))
        renewed = alone.refresh(params, buffers)
        if primitives_of(renewed) != primitives_of(buffers):
            raise Unwritable("its buffers change from step to step")
        after, memory, info = own.step(alone, params, memory, lambda: alone.draw([torch.Generator()], buffers))
        if info.inner:
            raise Unwritable("it solves a system in each step")
        return _ordered(_seen(alone.project(after), memory, info), form), _ordered(renewed, buffers)

    args = params, memory, buffers, [x[0] for x in lists]
    form = params, memory, dict.fromkeys(params), params
    inputs = tensors(args)
    with torch.enable_grad():  # step rules then use plain operations instead of kernels that work in place
        graph, _ = capture(step, args, inputs, lower=True)
    w = Writer()
    names = [w.loaded(x.shape, x.dtype, f"s{k}") for k, x in enumerate(inputs)]
    made = write(graph, w, names)
    moving, staying = len(tensors((params, memory))), len(tensors(buffers))
    renewed = made[len(made) - staying :]
    if any(not torch.equal(a, b) for a, b in zip(renewed, names[moving:], strict=False)):
        raise Unwritable("its buffers change from step to step")
    kept = tensors((state.params, state.memory))
    shared = tuple(game.members is not None and x.shape == one.shape for x, one in zip(kept, inputs, strict=False))
    made = made[: len(made) - staying]
    source = _function(w, inputs, names, made, shared, len(game.players))
    return source, shared, (*(x.contiguous() for x in tensors(state.buffers)), *lists)


def _function(
    w: Writer, inputs: list[Tensor], names: list[Tensor], made: list[Tensor], shared: tuple[bool, ...], players: int
) -> str:
    """The C function ``play``, which plays one member after another, with the member's state in local variables.

    ``made`` are the places of the state after a step (one tensor for each entry of ``shared``), losses and gradients.
    """
    dtype = inputs[0].dtype
    state = list(zip(inputs, names, made, shared, strict=False))
    if any(own.shape != new.shape for _, own, new, _ in state):
        raise Unwritable("its memory changes in shape")
    losses, gradients = _places(made[len(shared) : len(shared) + players]), _places(made[len(shared) + players :])
    points = _places(names[: len(made) - len(shared) - players])
    load, next_, move, keep = [], [], [], []
    for k, (x, own) in enumerate(zip(inputs, names, strict=True)):
        for j, place in enumerate(_places([own])):
            kind, name = CTYPES[x.dtype], w.values[place][1]
            there = f"(({kind} *) in[{k}])[m * {x.numel()} + {j}]"
            load.append(f"{kind} {name} = {there};")
            if k < len(shared):
                after = w.name(_places([made[k]])[j], x.dtype)
                next_.append(f"{kind} n{name} = {after};")  # compute all new values before the first one is assigned
                move.append(f"{'' if shared[k] else 'if (moves) '}{name} = n{name};")
                keep.append(f"{there} = {name};")
    seen = [p for p in (*losses, *gradients, *_places(made[: len(shared)])) if w.values[p][0].is_floating_point]
    rows = [
        f"{row}[(k * members + m) * {len(places)} + {j}] = {w.name(place, dtype)};"
        for row, places in (("losses", losses), ("gradients", gradients), ("points", points))
        for j, place in enumerate(places)
    ]
    check = [f"odd += {w.values[p][1]} - {w.values[p][1]};" for p in dict.fromkeys(seen)]
    n = "\n"
    return f"""{PRELUDE}
void play(long long steps, long long members, void **in, void **out) {{
const _Bool *alive = out[0]; double *losses = out[1], *gradients = out[2], *points = out[3]; _Bool *sound = out[4];
for (long long m = 0; m < members; m++) {{
const _Bool moves = alive[m];
{n.join(load)}
for (long long k = 0; k < steps; k++) {{
{n.join((*w.lines, *next_, *rows))}
double odd = 0;
{n.join(check)}
sound[k * members + m] = odd == 0;
{n.join(move)}
}}
{n.join(keep)}
}}
}}
"""


def _seen(params: Params, memory: Memory, info: StepInfo) -> tuple[Any, ...]:
    return params, memory, info.losses, info.gradient


def _ordered(x: Any, like: Any) -> Any:
    """``x`` with its names in the order of ``like``, as tensors are numbered in that order."""
    if isinstance(like, tuple):
        return tuple(_ordered(a, b) for a, b in zip(x, like, strict=True))
    return {k: _ordered(x[k], b) for k, b in like.items()} if isinstance(like, Mapping) else x


def _places(tensors: list[Tensor]) -> list[int]:
    return [place for x in tensors for place in x.flatten().tolist()]


def _pointers(*arrays: Any) -> Any:
    addresses = [x.data_ptr() if isinstance(x, Tensor) else x.ctypes.data for x in arrays]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _resettled(x: Any, members: int | None, of: Callable[[list[float]], Tensor]) -> Any:
    """``x``, a solver or a part of one, with ``of`` applied to every list that has a number for each member."""
    if isinstance(x, list) and members is not None and len(x) == members:
        return of(x)
    if isinstance(x, Mapping):
        return {k: _resettled(value, members, of) for k, value in x.items()}
    if is_dataclass(x) and not isinstance(x, type):
        old = {f.name: getattr(x, f.name) for f in fields(x) if f.init}
        new = {name: _resettled(value, members, of) for name, value in old.items()}
        return replace(x, **new) if any(new[name] is not old[name] for name in old) else x
    return x
