"""Pure functions traced once for the shapes at hand and replayed: no torch.func overhead, no dead work, no compiler.

``traced`` replays a whole function. ``staged`` replays a function together with linear maps at its argument, its
derivatives say: what belongs to the point is computed once, in the pass that gives the value, and each map adds what
depends on its tangent. Whatever cannot be traced runs as written, and says why.

What a caller may rely on: a program belongs to the arguments' structure, shapes, dtypes, devices and constants, and to
all else that the function reads (``dependencies``): where that has changed it is traced again, and not
replayed where it cannot be told. At first, now and then and when a run ends the result is compared with the function's
own. A function that draws random numbers, mutates or looks at numbers is never replayed; inside torch.func transforms
and under autograd the function itself runs.
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
from .guards import Guard, settled
from .origin import Origin
from .pytrees import flatten, rebuild

PROGRAMS = 32  # per function: a constant that changes every step (its number, say) must not retrace for ever
RETRACES = 3  # per function, because something that it reads has changed: then it runs as written
# Calls at which a replay is compared with its function once more: these, and every so many.
FIRST, OFTEN = (4, 16, 64, 256), 1000

Map = Callable[[Any], Any]
Stage = Callable[..., Any]
Key = tuple[Any, ...]


def traced(fn: Callable[..., Any], origin: Origin | None = None) -> Traced:
    """``fn``, a pure function of nested dicts, lists, tuples of tensors and constants, replayed after its first call.

    The result is ``fn``'s, but without autograd history, with a plain dict for every mapping, and as if zeros that
    derivatives are made of stayed zero when multiplied by infinity. Tensors ``fn`` closes over are held by reference.
    What it reads besides is looked for in ``origin``, by default in ``fn`` itself.
    """
    return Traced(fn, origin or Origin(((fn, frozenset()),)))


def staged(
    fn: Callable[..., tuple[Any, Sequence[Map]]], plain: Callable[..., Any] | None = None, origin: Origin | None = None
) -> Staged:
    """``fn(*point)``, which returns a value and linear maps, as ``staged(fn)(tangents, *point)``.

    ``tangents`` has a tangent for each map, of which only the shapes matter. One pass through the point gives the
    value and what the maps share; everything else is as for :func:`traced`. ``plain``, by default ``fn``, returns the
    same where ``fn`` cannot be replayed, and is what a program is compared with.
    """
    return Staged(fn, plain or fn, origin or Origin(((fn, frozenset()),)))


@dataclass
class Program:
    """A replay in stages, when it was compared with its function, and what must be as it was then."""

    first: Stage
    others: list[Stage]
    guard: Guard
    since: int  # the step at which the two agreed last
    calls: int = 0

    def __call__(self, point: list[Tensor], tangents: Sequence[Any]) -> tuple[Any, ...]:
        """What the function of the point and the tangents gives."""
        value, kept = self.first(point)
        return value, *(stage(_read(x)[1], kept) for stage, x in zip(self.others, tangents, strict=True))


class _Replayed:
    """One function's programs, by everything of its arguments but the numbers."""

    def __init__(
        self, fn: Callable[..., tuple[Any, ...]], plain: Callable[..., tuple[Any, ...]], origin: Origin
    ) -> None:
        """``fn`` and ``plain`` return a tuple with one result for each argument: see ``codegen.replay``."""
        self._fn, self._plain, self._origin = fn, plain, origin
        self.fallback: str | None = None
        """Why the last call that could not be replayed ran eagerly."""
        self._programs: dict[tuple[Any, ...], Program | None] = {}
        self._changes = 0

    def _find(self, *args: Any) -> tuple[Program | None, Sequence[Key], Sequence[list[Tensor]]]:
        """The program for ``args``, or None, and the key and the tensors of each."""
        if watched():
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
                self.fallback = self._origin.eager = f"what it reads changes again and again: {program.guard.changed}"
                return None, [], []
            program = self._programs[known] = self._trace(args, groups)
        if program is not None:
            program.calls += 1
            if program.calls in FIRST or program.calls % OFTEN == 0 or self._origin.clock.comparing:
                self._checked(program, args, groups)
        return program, keys, groups

    def _trace(self, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> Program | None:
        try:
            if len(self._programs) >= PROGRAMS:
                raise RuntimeError(f"it was called with more than {PROGRAMS} different shapes or constants")
            return self._made(args, groups)
        except Exception as error:  # anyone's code runs through torch's internals here: anything can come up
            self.fallback = f"{type(error).__name__}: {error}".partition("\n")[0]
            return None

    def _made(self, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> Program:
        """The program for ``args``, which agrees with the function at this point or, kinks aside, at two beside it."""
        from .capture import capture
        from .codegen import replay

        point, *tangents = args[0], *map(_renewed, args[1:])

        def make() -> tuple[tuple[Stage, list[Stage]], list[Tensor]]:
            leaves, rewrite = [x for group in groups for x in group], self._origin.rewrite
            graph, results = capture(self._fn, args, leaves, point=len(groups[0]), rewrite=rewrite)
            return replay(graph, results, [len(leaves) for leaves in groups]), graph.followed()

        reads, (stages, followed), expected = settled(self._origin.roots, make, lambda: self._plain(point, *tangents))
        program = Program(*stages, Guard(reads, followed), self._origin.clock.step)
        votes = _agree(program, groups[0], tangents, expected)
        for seed in (1, 2):
            if abs(votes) < 2:
                beside = _renewed(point, seed, 0.01)
                with contextlib.suppress(Exception):  # the function may have no value there
                    votes += _agree(program, _read(beside)[1], tangents, self._plain(beside, *tangents))
        if votes <= 0:
            raise ArithmeticError("its replayed result differs from its own")
        self._origin.clock.replaying = True
        return program

    def _checked(self, program: Program, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> None:
        """Compare the replay with the function once more. Raises PluginError where they have come apart."""
        point, *tangents = args[0], *map(_renewed, args[1:])
        with torch.no_grad():
            found = program(groups[0], tangents)
            try:
                compare(found, self._plain(point, *tangents), 1.0)
            except ArithmeticError:  # rounding at a kink, perhaps: then the same is traced again
                again = self._trace(args, groups)
                if again is None or not identical(found, again(groups[0], tangents)):
                    raise self._origin.stale(program.since) from None
        program.since = self._origin.clock.step


class Traced(_Replayed):
    """A function that replays itself."""

    def __init__(self, fn: Callable[..., Any], origin: Origin) -> None:
        super().__init__(lambda args: (fn(*args),), lambda args: (fn(*args),), origin)
        self.fn = fn

    def __call__(self, *args: Any) -> Any:
        program, _, groups = self._find(args)
        if program is None:
            return self.fn(*args)
        with torch.no_grad():
            return program.first(groups[0])[0]


class Staged(_Replayed):
    """A function whose value and linear maps replay themselves, point by point."""

    def __init__(self, fn: Callable[..., Any], plain: Callable[..., Any], origin: Origin) -> None:
        super().__init__(_applied(fn), _applied(plain), origin)
        self.plain = plain

    def __call__(self, tangents: Sequence[Any], *point: Any) -> tuple[Any, list[Map]]:
        program, keys, groups = self._find(point, *tangents)
        if program is None:
            value, maps = self.plain(*point)
            return value, list(maps)
        with torch.no_grad():
            value, kept = program.first(groups[0])

        def replayed(k: int, stage: Stage, like: Key) -> Map:
            def apply(tangent: Any) -> Any:
                if not watched():
                    key, leaves = _read(tangent)
                    if key == like and not _differentiated(groups[0], leaves):
                        with torch.no_grad():
                            return stage(leaves, kept)
                return self.plain(*point)[1][k](tangent)

            return apply

        return value, [replayed(k, *pair) for k, pair in enumerate(zip(program.others, keys[1:], strict=True))]


def _applied(fn: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """The function of a point and tangents that gives the value and the maps' values."""

    def applied(point: tuple[Any, ...], *tangents: Any) -> tuple[Any, ...]:
        value, maps = fn(*point)
        return value, *(map(tangent) for map, tangent in zip(maps, tangents, strict=True))

    return applied


def _read(x: Any) -> tuple[Key, list[Tensor]]:
    """All of ``x`` but the numbers, and its tensors. Raises TypeError: see ``pytrees.flatten``."""
    leaves: list[Tensor] = []
    key: list[Any] = []
    flatten(x, leaves, key)
    return tuple(key), leaves


def _agree(program: Program, point: list[Tensor], tangents: Sequence[Any], expected: Any) -> int:
    """1, or -1 where the replay is not what is expected."""
    with torch.no_grad():
        try:
            compare(program(point, tangents), expected)
        except ArithmeticError:
            return -1
    return 1


def _renewed(x: Any, seed: int = 0, share: float = 1.0) -> Any:
    """``x`` with random numbers, or with a ``share`` of them: of a map, zeros and the like would compare nothing."""
    rng = torch.Generator().manual_seed(seed)

    def one(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        noise = torch.randn(t.shape, generator=rng).to(t)
        return noise if share == 1 else t + share * (1 + t.abs()) * noise

    return rebuild(x, one)


def _differentiated(*groups: list[Tensor]) -> bool:
    """Whether autograd is watching any of these."""
    return torch.is_grad_enabled() and any(x.requires_grad for leaves in groups for x in leaves)


def watched() -> bool:
    """Whether something is watching what tensors do: torch.func, forward mode, autocast, another trace."""
    return (
        peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch._C._is_any_autocast_enabled()
        or forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
    )


def lanes() -> int:
    """How many calls a vmap is making in one."""
    inside = peek_interpreter_stack()
    return CVmapInterpreterPtr(inside).batchSize() if inside is not None and inside.key() == TransformType.Vmap else 1
