"""Pure functions traced once for the shapes at hand and replayed: no torch.func overhead, no dead work, no compiler.

``traced`` replays a whole function. ``staged`` replays a function together with linear maps at its argument, its
derivatives say: what belongs to the point is computed once, in the pass that gives the value, and each map adds what
depends on its tangent. Whatever cannot be traced runs as written, and says why.

What a caller may rely on: a program belongs to the arguments' structure, shapes, dtypes, devices and constants; on its
first use its result is compared with the function's own; a function that draws random numbers, mutates or looks at
numbers is never replayed; inside torch.func transforms and under autograd the function itself runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import CVmapInterpreterPtr, TransformType, peek_interpreter_stack
from torch.autograd import forward_ad

from .nested import flatten, leaves_of, rebuild

PROGRAMS = 32  # per function: a constant that changes every step (its number, say) must not retrace for ever

Map = Callable[[Any], Any]
Stage = Callable[..., Any]
Programs = tuple[Stage, list[Stage]]
Key = tuple[Any, ...]


def traced(fn: Callable[..., Any]) -> Traced:
    """``fn``, a pure function of nested dicts, lists, tuples of tensors and constants, replayed after its first call.

    The result is ``fn``'s, but without autograd history, with a plain dict for every mapping, and as if zeros that
    derivatives are made of stayed zero when multiplied by infinity. Tensors ``fn`` closes over are held by reference.
    """
    return Traced(fn)


def staged(fn: Callable[..., tuple[Any, Sequence[Map]]], plain: Callable[..., Any] | None = None) -> Staged:
    """``fn(*point)``, which returns a value and linear maps, as ``staged(fn)(tangents, *point)``.

    ``tangents`` has a tangent for each map, of which only the shapes matter. One pass through the point gives the
    value and what the maps share; everything else is as for :func:`traced`. ``plain``, by default ``fn``, returns the
    same where ``fn`` cannot be replayed, and is what a program is compared with.
    """
    return Staged(fn, plain or fn)


class _Replayed:
    """One function's programs, by everything of its arguments but the numbers."""

    def __init__(self, fn: Callable[..., tuple[Any, ...]], plain: Callable[..., tuple[Any, ...]]) -> None:
        """``fn`` and ``plain`` return a tuple with one result for each argument: see ``core.graph_replay.replay``."""
        self._fn, self._plain = fn, plain
        self.fallback: str | None = None
        """Why the last call that could not be replayed ran eagerly."""
        self._programs: dict[tuple[Any, ...], Programs | None] = {}

    def _find(self, *args: Any) -> tuple[Programs | None, Sequence[Key], Sequence[list[Tensor]]]:
        """The program for ``args``, or None, and the key and the tensors of each."""
        if watched():
            return None, [], []
        try:
            keys, groups = zip(*map(_read, args), strict=True)
        except TypeError as error:
            self.fallback = str(error)
            return None, [], []
        if _differentiated(*groups):
            return None, [], []
        known = (torch.get_default_dtype(), *keys)
        if known not in self._programs:
            self._programs[known] = self._trace(args, groups)
        return self._programs[known], keys, groups

    def _trace(self, args: tuple[Any, ...], groups: Sequence[list[Tensor]]) -> Programs | None:
        from .graph_capture import capture
        from .graph_replay import replay

        try:
            if len(self._programs) >= PROGRAMS:
                raise RuntimeError(f"it was called with more than {PROGRAMS} different shapes or constants")
            program = capture(self._fn, args, [x for leaves in groups for x in leaves], point=len(groups[0]))
            first, others = replay(*program, [len(leaves) for leaves in groups])
            point, *tangents = args[0], *map(_renewed, args[1:])
            expected = self._plain(point, *tangents)
            with torch.no_grad():
                value, kept = first(groups[0])
                compare(value, expected[0])
                for stage, tangent, own in zip(others, tangents, expected[1:], strict=True):
                    compare(stage(_read(tangent)[1], kept), own)
        except Exception as error:  # anyone's code runs through torch's internals here: anything can come up
            self.fallback = f"{type(error).__name__}: {error}".partition("\n")[0]
            return None
        return first, others


class Traced(_Replayed):
    """A function that replays itself."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(lambda args: (fn(*args),), lambda args: (fn(*args),))
        self.fn = fn

    def __call__(self, *args: Any) -> Any:
        programs, _, groups = self._find(args)
        if programs is None:
            return self.fn(*args)
        with torch.no_grad():
            return programs[0](groups[0])[0]


class Staged(_Replayed):
    """A function whose value and linear maps replay themselves, point by point."""

    def __init__(self, fn: Callable[..., Any], plain: Callable[..., Any]) -> None:
        super().__init__(_applied(fn), _applied(plain))
        self.plain = plain

    def __call__(self, tangents: Sequence[Any], *point: Any) -> tuple[Any, list[Map]]:
        programs, keys, groups = self._find(point, *tangents)
        if programs is None:
            value, maps = self.plain(*point)
            return value, list(maps)
        with torch.no_grad():
            value, kept = programs[0](groups[0])

        def replayed(k: int, stage: Stage, like: Key) -> Map:
            def apply(tangent: Any) -> Any:
                if not watched():
                    key, leaves = _read(tangent)
                    if key == like and not _differentiated(groups[0], leaves):
                        with torch.no_grad():
                            return stage(leaves, kept)
                return self.plain(*point)[1][k](tangent)

            return apply

        return value, [replayed(k, *pair) for k, pair in enumerate(zip(programs[1], keys[1:], strict=True))]


def _applied(fn: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """The function of a point and tangents that gives the value and the maps' values."""

    def applied(point: tuple[Any, ...], *tangents: Any) -> tuple[Any, ...]:
        value, maps = fn(*point)
        return value, *(map(tangent) for map, tangent in zip(maps, tangents, strict=True))

    return applied


def _read(x: Any) -> tuple[Key, list[Tensor]]:
    """All of ``x`` but the numbers, and its tensors. Raises TypeError: see :func:`counterplay.core.nested.flatten`."""
    leaves: list[Tensor] = []
    key: list[Any] = []
    flatten(x, leaves, key)
    return tuple(key), leaves


def _renewed(x: Any) -> Any:
    """``x`` with random numbers: of a map, zeros and the like would compare nothing."""
    rng = torch.Generator().manual_seed(0)

    def one(t: Tensor) -> Tensor:
        return torch.randn(t.shape, generator=rng).to(t) if t.is_floating_point() else t

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


def compare(found: Any, expected: Any, slack: float = 10.0) -> None:
    """Raise unless each replayed tensor is the function's own up to rounding, which ill-conditioning may enlarge.

    Each is measured by its own size: a block 300 times smaller than another may not be wrong at all. Sums that cancel
    leave what the other tensors beside them were rounded by. Members of a tuple are compared by themselves.
    """
    if type(found) is type(expected) is tuple:
        for a, b in zip(found, expected, strict=True):
            compare(a, b, slack)
        return
    pairs = list(zip(leaves_of(found), leaves_of(expected), strict=True))
    tensors = [(a, b.detach()) for a, b in pairs if isinstance(b, Tensor)]
    sizes = [_size(b) if b.is_floating_point() else 0.0 for _, b in tensors]
    largest = max(sizes, default=0.0)
    for (a, b), size in zip(tensors, sizes, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
            raise ArithmeticError("its replayed result is of another kind than its own")
        if not b.is_floating_point():
            same = torch.equal(a, b)
        else:
            eps = torch.finfo(b.dtype).eps
            error = (a - b)[a.isfinite() & b.isfinite()].abs()
            same = not error.numel() or float(error.max()) <= slack * (math.sqrt(eps) * size + 10 * eps * largest)
        if not same:
            raise ArithmeticError("its replayed result differs from its own")


def _size(x: Tensor) -> float:
    return float(x.abs().nan_to_num(0, 0, 0).max()) if x.numel() else 0.0
