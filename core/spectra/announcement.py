"""The cost of the spectra at one point is told before the first product, and each product as it is taken.

Of a large game, a product takes long, and there are hundreds. Spectra that are read from a matrix are not announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]
"""``listener(done, most)``: how many products have been taken, and how many will be at most."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_COUNT: ContextVar[list[int] | None] = ContextVar("count", default=None)  # done, most


@contextmanager
def announced_to(listener: Listener | None) -> Iterator[None]:
    """A context in which ``listener`` is told of spectra; None: nobody is."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """A context of spectra that take at most so many products, which is told now; 0: nothing is told."""
    token = _COUNT.set([0, most] if most else None)
    try:
        _advance(0)
        yield
        _advance(most)
    finally:
        _COUNT.reset(token)


@contextmanager
def counted_products(most: int) -> Iterator[Callable[[], None]]:
    """A context of one Krylov space of at most ``most`` products: call what it gives at each. Those left over count."""
    begun = (_COUNT.get() or [0])[0]
    yield lambda: _advance((_COUNT.get() or [0])[0] + 1)
    _advance(begun + most)


def _advance(done: int) -> None:
    listener, count = _LISTENER.get(), _COUNT.get()
    if count is not None:
        count[0] = min(done, count[1])
        if listener is not None:
            listener(*count)
