"""Whether what a function reads is still what it was, looked at before each replay; and leaving it as it was found."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from operator import attrgetter, is_, methodcaller
from typing import Any, TypeVar

from torch import Tensor

from .dependencies import Reads, Roots
from .inspection import alike

SMALL = 1 << 16  # numbers up to which a tensor can be put back
FEW = 64  # numbers up to which a tensor is compared by what it holds: a write to x.data or by numpy counts nowhere
_version, _place = attrgetter("_version"), methodcaller("data_ptr")
_form = attrgetter("shape", "requires_grad")

S = TypeVar("S")
T = TypeVar("T")


class Impure(Exception):
    """What a function reads cannot be told, or is changed by it; the message says what."""


class Guard:
    """All that a program was made from. ``followed`` are tensors that it reads as they are, whatever they hold."""

    def __init__(self, reads: Reads, followed: Iterable[Tensor] = ()) -> None:
        places = {x.data_ptr() for x in followed}
        self.changed = ""
        self._labels = reads.reads
        self._reads = [read for _, read in reads.reads]
        self._empty = reads.empty
        self._tensors = [x for _, x in reads.tensors]
        self._counted = [x for x in self._tensors if x.data_ptr() not in places]
        self._small = [x.detach() for x in self._counted if x.is_cpu and x.numel() <= FEW]
        self._arrays = [x for _, x in reads.arrays]
        self._alive = reads  # identities stay
        self._values, self._others = self._now(), self._state()

    def _now(self) -> list[Any]:
        return [*chain.from_iterable([read() for read in self._reads])]

    def _state(self) -> Any:
        """What tensors and arrays are: where each lies, its form, how often it was written to; what small ones hold."""
        written = [*map(_version, self._counted), *map(_held, self._small)]
        return (
            list(map(_place, self._tensors)),
            list(map(_form, self._tensors)),
            written,
            list(map(_bytes, self._arrays)),
        )

    def same(self) -> bool:
        """Whether nothing has changed; else ``changed`` says what has."""
        try:
            now = self._now()
            if len(now) == len(self._values) and all(map(is_, now, self._values)):
                values = True
            else:
                values = self._alike()
            if values and not any(map(len, self._empty)) and self._state() == self._others:
                return True
        except (ValueError, RuntimeError, AttributeError):  # gone, or changing meanwhile
            values = False
        self.changed = self.changed or ("a tensor, an array or what was empty" if values else "something")
        return False

    def _alike(self) -> bool:
        """The same, by value where that is known."""
        found, start = [], 0
        for label, read in self._labels:
            now = list(read())
            if not all(map(alike, now, self._values[start : start + len(now)])):
                self.changed = label
                return False
            found += now
            start += len(now)
        if start != len(self._values):
            return False
        self._values = found
        return True


def _held(x: Tensor) -> list[Any]:
    return x.tolist()


def _bytes(x: Any) -> Any:
    return bytes(x) if isinstance(x, bytearray) else (x.tobytes(), x.shape, x.dtype)


class Kept:
    """What is reached, as it is now."""

    def __init__(self, reads: Reads) -> None:
        self._items = [(x, _copy(x)) for x in reads.held]
        self._tensors = [(x, x._version, x.detach().clone() if x.numel() <= SMALL else None) for _, x in reads.tensors]
        self._arrays = [(x, x.copy()) for _, x in reads.arrays]

    def changes(self) -> list[Callable[[], Any]]:
        """What puts back each thing that has changed since."""
        back: list[Callable[[], Any]] = [partial(_put, x, c) for x, c in self._items if not _same(x, c)]
        back += [partial(_write, x, c) for x, n, c in self._tensors if x._version != n]
        return back + [partial(x.__setitem__, slice(None), c) for x, c in self._arrays if bytes(x) != bytes(c)]


def _write(x: Tensor, numbers: Tensor | None) -> None:
    if numbers is not None:
        x.detach().copy_(numbers)


def undone(kept: list[Kept]) -> None:
    """Put everything back, the newest first."""
    for back in (back for each in reversed(kept) for back in each.changes()):
        back()


def settled(roots: Roots, make: Callable[[], S], evaluate: Callable[[], T]) -> tuple[Reads, S, T]:
    """What is read from ``roots``, ``make()`` and ``evaluate()``, which leave all of that as it is.

    What is filled once, a cache, may be filled. Raises Impure where a function changes what it reads, or what that is
    cannot be told; or whatever is raised inside. Then all is as it was.
    """
    kept: list[Kept] = []
    try:
        for _ in range(2):
            reads = Reads(roots)
            if reads.reason:
                raise Impure(reads.reason)
            kept.append(Kept(reads))
            made = make()
            touched = bool(kept[-1].changes())
            undone(kept[-1:])
            value = evaluate()
            if not touched and not kept[-1].changes():
                return reads, made, value
        raise Impure("it changes what it reads")
    except BaseException:
        undone(kept)
        raise


def _copy(x: Any) -> Any:
    if isinstance(x, types.CellType):
        return x.cell_contents
    return dict(vars(x)) if isinstance(x, type) else x.copy()


def _same(x: Any, copy: Any) -> bool:
    if isinstance(x, types.CellType):
        return x.cell_contents is copy
    now = vars(x) if isinstance(x, type) else x
    if isinstance(now, set):
        return bool(now == copy)
    if len(now) != len(copy) or not all(map(is_, now, copy)):
        return False
    return not hasattr(now, "values") or all(map(is_, now.values(), copy.values()))


def _put(x: Any, copy: Any) -> None:
    if isinstance(x, types.CellType):
        x.cell_contents = copy
    elif isinstance(x, type):
        for name in vars(x).keys() - copy.keys():
            delattr(x, name)
        for name, value in copy.items():
            if vars(x).get(name, x) is not value:
                setattr(x, name, value)
    elif isinstance(x, dict):
        for name in x.keys() - copy.keys():
            del x[name]
        x.update(copy)
    else:
        x.clear()
        (x.update if isinstance(x, set) else x.extend)(copy)
