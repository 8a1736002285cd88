"""A line for who waits while many files are read."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..process import torchrun
from .progress import clock

PATIENCE = 2.0  # seconds before anything is said
T = TypeVar("T")


def told(things: Sequence[T], what: str) -> Iterator[T]:
    """The things; if they take long, a line on the standard error says ``what`` is read and how long it will take."""
    began, said = time.monotonic(), False
    for n, one in enumerate(things):
        yield one
        spent = time.monotonic() - began
        if not said and spent > PATIENCE:
            said = True
            if torchrun.speaks() and sys.stderr is not None:
                left = spent / (n + 1) * (len(things) - n - 1)
                print(f"reading {what}: about {clock(left)} left", file=sys.stderr, flush=True)
