"""Pure functions that are traced once for given shapes and then replayed, without the overhead of torch.func.

``traced`` replays a whole function. ``traced_with_maps`` replays a function together with linear maps at its argument,
such as its derivatives: what depends on the point alone is computed once, with the value, and each map computes only
what depends on its tangent. A function that cannot be traced runs as written, and ``fallback`` says why.

Guarantees: a program is used only for arguments of the same structure, shapes, dtypes, devices and constants, and only
while all else that the function reads (``dependencies``) is unchanged. After a change the function is traced again; if
it reads what cannot be watched, it is never replayed. The result is compared with the function's own at first, from
time to time, and when a run ends. A function that draws random numbers, mutates, or branches on numbers is never
replayed. Inside torch.func transforms and under autograd the function itself runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import CVmapInterpreterPtr, TransformType, peek_interpreter_stack
from torch.autograd import forward_ad

from .comparison import compare, identical
from .guards import Guard, require_pure
from .program.cuda_graphs import graphed
from .pytrees import flatten, rebuild
from .trace_context import TraceContext

PROGRAMS = 32  # most programs of a function: a constant that changes every step must not cause a trace at every step
RETRACES = 3  # most traces of a function after a change of what it reads; then the function runs as written
# A replay is compared with its function at these calls, and at every COMPARE_EVERY-th call.
COMPARE_AT, COMPARE_EVERY = (4, 16, 64, 256), 1000

Map = Callable[[Any], Any]
Stage = Callable[..., Any]
Key = tuple[Any, ...]


def traced(fn: Callable[..., Any], context: TraceContext | None = None) -> Traced:
    """Return ``fn``, a pure function of nested dicts, lists and tuples of tensors and constants, in a replayed form.

    The result is that of ``fn``, but without autograd history, with a dict for every mapping, and with structural zeros
    of derivatives that stay zero when multiplied by infinity. Tensors that ``fn`` closes over are held by reference.
    What else it reads is looked for in ``context``, by default in ``fn`` itself.
    """
    return Traced(fn, context or TraceContext(((fn, frozenset()),)))


def traced_with_maps(
    fn: Callable[..., tuple[Any, Sequence[Map]]],
    plain: Callable[..., Any] | None = None,
    context: TraceContext | None = None,
) -> TracedWithMaps:
    """Return a replayed form of ``fn(*point)``, which gives a value and linear maps.

    It is called as ``traced_with_maps(fn)(tangents, *point)``. ``tangents`` has a tangent for each map, of which only
    structure and shapes matter. One pass through the point gives the value and what the maps share. All else is as for
    :func:`traced`. ``plain``, by default ``fn``, is another form of the same function: it runs where ``fn`` cannot be
    replayed, and programs are compared with it.
    """
    return TracedWithMaps(fn, plain or fn, context or TraceContext(((fn, frozenset()),)))


@dataclass
class Program:
    """A replay in stages, with the guard of what it was made from, and the step of its last comparison."""

    first: Stage
    others: list[Stage]
    guard: Guard
    since: int  # the step at which the two agreed last
    calls: int = 0

    def __call__(self, point: list[Tensor], tangents: Sequence[Any]) -> tuple[Any, ...]:
        """The value of the function and of its maps at the point and the tangents."""
        value, kept = self.first(point)
        return value, *(stage(_read(x)[1], kept) for stage, x in zip(self.others, tangents, strict=True))


class _Replayed:
    """The programs of one function, by the key of its arguments: everything but the numbers in their tensors."""

    def __init__(
        self, fn: Callable[..., tuple[Any, ...]], plain: Callable[..., tuple[Any, ...]], context: TraceContext
    ) -> None:
        """``fn`` and ``plain`` return a tuple with one result for each argument: see ``codegen.replay``."""
        self._fn, self._plain, self._context = fn, plain, context
        self.fallback: str | None = None
        """Why the last call that was not replayed ran eagerly."""
        self._programs: dict[tuple[Any, ...], Program | None] = {}
        self._changes = 0

    def _find(self, *args: Any) -> tuple[Program | None, Sequence[Key], Sequence[list[Tensor]]]:
        """The program for ``args``, or None, and the key and the tensors of each."""
        if transform_active():
            return None, [], []
        try:
            keys, groups = zip(*map(_read, args), strict=True)
        except TypeError as error:
            self.fallback = str(error)
            return None, [], []
        if _differentiated(*groups) or self._changes > RETRACES:
            return None, [], []
        known = (torch.get_default_dtype(), torch.is_grad_enabled(), *keys)
        if known not in self._programs:
            self._programs[known] = self._trace(args, groups)
        program = self._programs[known]
        if program is not None and not program.guard.same():
            self._changes += 1
            if self._changes > RETRACES:
                reason = f"what it reads changes again and again: {program.guard.changed}"
                self.fallback = self._context.why_eager = reason
                return None, [], []
            program = self._programs[known] = self._trace(args, groups)
        if program is not None:
            program.calls += 1
            if program.calls in COMPARE_AT or program.calls % COMPARE_EVERY == 0 or self._context.replay.comparing:
                self._checked(program, args, groups)
        return program, keys, groups

    def _trace(self, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> Program | None:
        try:
            if len(self._programs) >= PROGRAMS:
                reason = self._context.why_some_eager = f"more than {PROGRAMS} different shapes or constants were met"
                raise RuntimeError(reason)
            return self._made(args, groups)
        except Exception as error:  # a plugin's code is run by torch's internals, and may raise anything
            self.fallback = f"{type(error).__name__}: {error}".partition("\n")[0]
            return None

    def _made(self, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> Program:
        """Make the program for ``args``. It must agree with the function there or, at a kink, at two points nearby."""
        from .capture import capture
        from .codegen import replay

        point, *tangents = args[0], *map(_renewed, args[1:])

        def make() -> tuple[tuple[Stage, list[Stage]], list[Tensor]]:
            leaves, rewrite = [x for group in groups for x in group], self._context.rewrite
            graph, results = capture(self._fn, args, leaves, point=len(groups[0]), rewrite=rewrite)
            return replay(graph, results, [len(leaves) for leaves in groups]), graph.followed()

        reads, (stages, followed), expected = require_pure(
            self._context.roots, make, lambda: self._plain(point, *tangents)
        )
        program = Program(*stages, Guard(reads, followed), self._context.replay.step)
        votes = _agree(program, groups[0], tangents, expected)
        for seed in (1, 2):
            if abs(votes) < 2:
                beside = _renewed(point, seed, 0.01)
                with contextlib.suppress(Exception):  # the function may not be defined there
                    votes += _agree(program, _read(beside)[1], tangents, self._plain(beside, *tangents))
        if votes <= 0:
            raise ArithmeticError("its replayed result differs from its own")
        self._context.replay.replaying = True
        program.first, program.others = graphed(*stages, sum(groups, followed), self._context.report)
        return program

    def _checked(self, program: Program, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> None:
        """Compare the replay with the function again. Raises PluginError where they no longer agree."""
        point, *tangents = args[0], *map(_renewed, args[1:])
        with torch.no_grad():
            found = program(groups[0], tangents)
            try:
                compare(found, self._plain(point, *tangents), 1.0)
            except ArithmeticError:  # maybe only rounding at a kink: then a new trace gives the same result
                again = self._trace(args, groups)
                if again is None or not identical(found, again(groups[0], tangents)):
                    raise self._context.stale(program.since) from None
        program.since = self._context.replay.step


class Traced(_Replayed):
    """A function that replays itself."""

    def __init__(self, fn: Callable[..., Any], context: TraceContext) -> None:
        super().__init__(lambda args: (fn(*args),), lambda args: (fn(*args),), context)
        self.fn = fn

    def __call__(self, *args: Any) -> Any:
        program, _, groups = self._find(args)
        if program is not None:
            with torch.no_grad(), contextlib.suppress(IndexError):  # the function itself says more of it
                return program.first(groups[0])[0]
        return self.fn(*args)


class TracedWithMaps(_Replayed):
    """A function whose value and linear maps replay themselves, point by point."""

    def __init__(self, fn: Callable[..., Any], plain: Callable[..., Any], context: TraceContext) -> None:
        super().__init__(_applied(fn), _applied(plain), context)
        self.plain = plain

    def __call__(self, tangents: Sequence[Any], *point: Any) -> tuple[Any, list[Map]]:
        found, (program, keys, groups) = None, self._find(point, *tangents)
        with torch.no_grad(), contextlib.suppress(IndexError):
            found = None if program is None else program.first(groups[0])
        if program is None or found is None:
            found, maps = self.plain(*point)
            return found, list(maps)
        value, kept = found

        def replayed(k: int, stage: Stage, like: Key) -> Map:
            def apply(tangent: Any) -> Any:
                if not transform_active():
                    key, leaves = _read(tangent)
                    if key == like and not _differentiated(groups[0], leaves):
                        with torch.no_grad():
                            return stage(leaves, kept)
                return self.plain(*point)[1][k](tangent)

            return apply

        return value, [replayed(k, *pair) for k, pair in enumerate(zip(program.others, keys[1:], strict=True))]


def _applied(fn: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """Turn ``fn`` into a function of a point and tangents that returns the value and the values of the maps."""

    def applied(point: tuple[Any, ...], *tangents: Any) -> tuple[Any, ...]:
        value, maps = fn(*point)
        return value, *(map(tangent) for map, tangent in zip(maps, tangents, strict=True))

    return applied


def _read(x: Any) -> tuple[Key, list[Tensor]]:
    """The key of ``x`` (everything but numbers) and its tensors. Raises TypeError: see ``pytrees.flatten``."""
    leaves: list[Tensor] = []
    key: list[Any] = []
    flatten(x, leaves, key)
    return tuple(key), leaves


def _agree(program: Program, point: list[Tensor], tangents: Sequence[Any], expected: Any) -> int:
    """1 if the replay agrees with ``expected``, else -1."""
    with torch.no_grad(), contextlib.suppress(ArithmeticError):
        compare(program(point, tangents), expected)
        return 1
    return -1


def _renewed(x: Any, seed: int = 0, share: float = 1.0) -> Any:
    """``x`` with random numbers (a zero tangent would compare nothing), or with noise of a relative size ``share``."""
    rng = torch.Generator().manual_seed(seed)

    def one(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        noise = torch.randn(t.shape, generator=rng).to(t)
        return noise if share == 1 else t + share * (1 + t.abs()) * noise

    return rebuild(x, one)


def _differentiated(*groups: list[Tensor]) -> bool:
    """Whether autograd records operations on any of these tensors."""
    return torch.is_grad_enabled() and any(x.requires_grad for leaves in groups for x in leaves)


def transform_active() -> bool:
    """Whether something records or changes tensor operations: torch.func, forward mode, autocast, another trace."""
    return (
        peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch._C._is_any_autocast_enabled()
        or forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
    )


def vmap_size() -> int:
    """The batch size of the innermost transform if it is a vmap, else 1."""
    inside = peek_interpreter_stack()
    return CVmapInterpreterPtr(inside).batchSize() if inside is not None and inside.key() == TransformType.Vmap else 1
