"""Guards, which check before each replay that all a function reads is unchanged; and how what it changes is undone."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from operator import attrgetter, is_, methodcaller
from typing import Any, TypeVar

from torch import Tensor

from .dependencies import Reads, Roots
from .inspection import same_value

RESTORABLE = 1 << 16  # numbers up to which a tensor is copied, so that a change can be undone
# Numbers up to which a tensor's values are compared: writes to x.data or by numpy do not change its version.
COMPARED_BY_VALUE = 64
_version, _place = attrgetter("_version"), methodcaller("data_ptr")
_form = attrgetter("shape", "requires_grad")

S = TypeVar("S")
T = TypeVar("T")


class Impure(Exception):
    """A function changes what it reads, or reads something that cannot be watched; the message says what."""


class Guard:
    """Watches all that a program was made from. ``followed`` are tensors whose current values the program reads."""

    def __init__(self, reads: Reads, followed: Iterable[Tensor] = ()) -> None:
        places = {x.data_ptr() for x in followed}
        self.changed = ""
        self._labels = reads.reads
        self._reads = [read for _, read in reads.reads]
        self._empty = reads.empty
        self._tensors = [x for _, x in reads.tensors]
        self._counted = [x for x in self._tensors if x.data_ptr() not in places]
        self._small = [x.detach() for x in self._counted if x.is_cpu and x.numel() <= COMPARED_BY_VALUE]
        self._arrays = [x for _, x in reads.arrays]
        self._alive = reads  # keeps objects alive, so that no other object gets their id
        self._values, self._others = self._now(), self._state()

    def _now(self) -> list[Any]:
        return [*chain.from_iterable([read() for read in self._reads])]

    def _state(self) -> Any:
        """For tensors: address, shape and version, and the values of small ones. For arrays: their bytes."""
        written = [*map(_version, self._counted), *map(_held, self._small)]
        return (
            list(map(_place, self._tensors)),
            list(map(_form, self._tensors)),
            written,
            list(map(_bytes, self._arrays)),
        )

    def same(self) -> bool:
        """Whether nothing has changed; otherwise ``changed`` says what has."""
        try:
            now = self._now()
            if len(now) == len(self._values) and all(map(is_, now, self._values)):
                values = True
            else:
                values = self._alike()
            if values and not any(map(len, self._empty)) and self._state() == self._others:
                return True
        except (ValueError, RuntimeError, AttributeError):  # something is gone, or changes at the same time
            values = False
        self.changed = self.changed or ("a tensor, an array or what was empty" if values else "something")
        return False

    def _alike(self) -> bool:
        """Whether all values are alike, not only identical; names the first that is not."""
        found, start = [], 0
        for label, read in self._labels:
            now = list(read())
            if not all(map(same_value, now, self._values[start : start + len(now)])):
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


class Snapshot:
    """A copy of all that was reached, as it is now."""

    def __init__(self, reads: Reads) -> None:
        self._items = [(x, _copy(x)) for x in reads.held]
        self._tensors = [
            (x, x._version, x.detach().clone() if x.numel() <= RESTORABLE else None) for _, x in reads.tensors
        ]
        self._arrays = [(x, x.copy()) for _, x in reads.arrays]

    def changes(self) -> list[Callable[[], Any]]:
        """For each thing that has changed since, a function that puts it back."""
        back: list[Callable[[], Any]] = [partial(_put, x, c) for x, c in self._items if not _same(x, c)]
        back += [partial(_write, x, c) for x, n, c in self._tensors if x._version != n]
        return back + [partial(x.__setitem__, slice(None), c) for x, c in self._arrays if bytes(x) != bytes(c)]


def _write(x: Tensor, numbers: Tensor | None) -> None:
    if numbers is not None:
        x.detach().copy_(numbers)


def restore(snapshots: list[Snapshot]) -> None:
    """Put everything back, the newest copy first."""
    for back in (back for each in reversed(snapshots) for back in each.changes()):
        back()


def require_pure(roots: Roots, make: Callable[[], S], evaluate: Callable[[], T]) -> tuple[Reads, S, T]:
    """Return what is read from ``roots``, and the values of ``make()`` and ``evaluate()``.

    Neither may change what is read, except once, as when a cache is filled. Raises Impure where one does, or where
    something that is read cannot be watched; errors raised inside pass through. After an error everything is put back.
    """
    snapshots: list[Snapshot] = []
    try:
        for _ in range(2):
            reads = Reads(roots)
            if reads.reason:
                raise Impure(reads.reason)
            snapshots.append(Snapshot(reads))
            made = make()
            touched = bool(snapshots[-1].changes())
            restore(snapshots[-1:])
            value = evaluate()
            if not touched and not snapshots[-1].changes():
                return reads, made, value
        raise Impure("it changes what it reads")
    except BaseException:
        restore(snapshots)
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
