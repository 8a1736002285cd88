"""The source of a C function that takes many steps of each member: a traced step of one member, in two loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Spent
from ..game.buffers import primitives_of
from ..game.tree import Params, leaves
from ..solver.solver import Memory, Solver, StepInfo
from ..solver.state import State, tensors
from ..tracing.capture import capture
from ..tracing.loops import loops_as_one_pass
from .c_operations import write
from .c_source import CTYPES, PRELUDE, Unwritable, Writer


@dataclass(frozen=True)
class Source:
    """The C source of the function ``play``, and what its arguments and results are."""

    text: str
    shared: tuple[bool, ...]  # which tensors of the state all members share
    constants: tuple[Tensor, ...]  # the inputs that do not change: buffers and settings, (M, ...)
    inner: Mapping[str, torch.dtype]  # what a step reports of an inner solve
    passes: tuple[Spent, ...]  # what a pass of each of its loops spends
    fails: bool  # whether a step may raise an error, for instance because a matrix is singular


def step_source(game: Evaluator, solver: Solver, state: State) -> Source:
    """The source of the steps of ``solver`` on ``game``. Raises Unwritable, or whatever the step raises."""
    alone = Evaluator(game.game, None, game.dtype, game.device)
    lists: list[Tensor] = []  # settings that have a value for each member

    def first(values: list[float]) -> Tensor:
        lists.append(torch.tensor(values, dtype=leaves(state.params)[0].dtype))
        return lists[-1][0]

    params, buffers = game.member(state.params, 0), game.member(state.buffers, 0)
    memory = _resettled(solver, game.members, first).init(alone, params)

    def step(params: Params, before: Memory, buffers: Any, settings: list[Tensor]) -> tuple[Any, ...]:
        given = iter(settings)
        own = _resettled(solver, game.members, lambda _: next(given))
        renewed = alone.refresh(params, buffers)
        if primitives_of(renewed) != primitives_of(buffers):
            raise Unwritable("its buffers change from step to step")
        after, memory, info = own.step(alone, params, before, lambda: alone.draw([torch.Generator()], buffers))
        reported.update({name: x.dtype for name, x in info.inner.items()})
        return *step_outputs(alone.project(after), memory, info, (params, before)), ordered(renewed, buffers)

    args = params, memory, buffers, [x[0] for x in lists]
    inputs, reported = tensors(args), dict[str, torch.dtype]()
    # With gradients enabled, step rules use plain operations instead of kernels that work in place.
    with torch.enable_grad(), loops_as_one_pass(lambda: alone.cost.spent) as loops:
        graph, _ = capture(step, args, inputs, lower=True)
    w = Writer()
    names = [w.loaded(x.shape, x.dtype, f"s{k}") for k, x in enumerate(inputs)]
    made = write(graph, w, names)
    kept, P = tensors((state.params, state.memory)), len(leaves(params))
    counts = len(kept), len(game.players), P, len(reported), len(tensors(buffers))
    after, losses, gradients, inner, renewed = _split(made, counts)
    if any(not torch.equal(a, b) for a, b in zip(renewed, names[len(kept) :], strict=False)):
        raise Unwritable("its buffers change from step to step")
    shared = tuple(game.members is not None and x.shape == one.shape for x, one in zip(kept, inputs, strict=False))
    rows = {"losses": losses, "gradients": gradients, "points": names[:P], "inner": inner}
    text = _function(w, inputs, names, after, shared, rows, len(loops.passes))
    constants = (*(x.contiguous() for x in tensors(state.buffers)), *lists)
    passes = tuple((gradients, int(products), int(samples)) for gradients, products, samples in loops.passes)
    return Source(text, shared, constants, dict(sorted(reported.items())), passes, bool(w.failures))


def _function(
    w: Writer, inputs: list[Tensor], names: list[Tensor], after: list[Tensor], shared: tuple[bool, ...],
    rows: Mapping[str, list[Tensor]], loops: int,
) -> str:  # fmt: skip
    """The C function ``play``, which plays one member after another, with the member's state in local variables.

    ``after`` are the places of the state after a step (one tensor for each entry of ``shared``), ``rows`` those of what
    is returned for each step.
    """
    if any(own.shape != new.shape for own, new in zip(inputs, after, strict=False)):
        raise Unwritable("its memory changes in shape")
    load, next_, move, keep = [], [], [], []
    for k, (x, own) in enumerate(zip(inputs, names, strict=True)):
        for j, place in enumerate(_places([own])):
            kind, name = CTYPES[x.dtype], w.values[place][1]
            there = f"(({kind} *) in[{k}])[m * {x.numel()} + {j}]"
            load.append(f"{kind} {name} = {there};")
            if k < len(shared):
                new = w.name(_places([after[k]])[j], x.dtype)
                next_.append(f"{kind} n{name} = {new};")  # compute all new values before the first one is assigned
                move.append(f"{'' if shared[k] else 'if (moves) '}{name} = n{name};")
                keep.append(f"{there} = {name};")
    places = {row: _places(tensors) for row, tensors in rows.items()}
    results = [
        f"{row}[(k * members + m) * {len(found)} + {j}] = {w.name(place, torch.float64)};"
        for row, found in places.items()
        for j, place in enumerate(found)
    ]
    results += [f"passes[(k * members + m) * {loops} + {j}] = n{j};" for j in range(loops)]
    checked = dict.fromkeys((*places["losses"], *places["gradients"], *_places(after)))
    check = [f"odd += {w.values[p][1]} - {w.values[p][1]};" for p in checked if w.values[p][0].is_floating_point]
    check += [f"odd += {w.values[p][1]};" for p in w.failures]
    n = "\n"
    return f"""{PRELUDE}
void play(long long steps, long long members, void **in, void **out) {{
const _Bool *alive = out[0]; double *losses = out[1], *gradients = out[2], *points = out[3], *inner = out[4];
long long *passes = out[5]; _Bool *sound = out[6];
for (long long m = 0; m < members; m++) {{
const _Bool moves = alive[m];
{n.join(load)}
for (long long k = 0; k < steps; k++) {{
{n.join((*w.lines, *next_, *results))}
double odd = 0;
{n.join(check)}
sound[k * members + m] = odd == 0;
{n.join(move)}
}}
{n.join(keep)}
}}
}}
"""


def step_outputs(params: Params, memory: Memory, info: StepInfo, before: tuple[Params, Memory]) -> tuple[Any, ...]:
    """What is compared of a step and what a compiled step gives: parameters, memory, losses, v, and the inner report.

    Tensors are numbered in the order of their names in ``before``, from where the step was taken.
    """
    form = *before, dict.fromkeys(before[0]), before[0], dict.fromkeys(sorted(info.inner))
    return ordered((params, memory, info.losses, info.gradient, info.inner), form)


def ordered(x: Any, like: Any) -> Any:
    """``x`` with its names in the order of ``like``."""
    if isinstance(like, tuple):
        return tuple(ordered(a, b) for a, b in zip(x, like, strict=True))
    return {k: ordered(x[k], b) for k, b in like.items()} if isinstance(like, Mapping) else x


def _split(x: list[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    """``x`` in parts of these lengths."""
    rest = iter(x)
    return [list(islice(rest, count)) for count in counts]


def _places(tensors: list[Tensor]) -> list[int]:
    return [place for x in tensors for place in x.flatten().tolist()]


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
