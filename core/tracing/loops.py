"""Loops whose length depends on numbers: played as written, or, where a step is written as C, recorded as one pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Spent = tuple[float, ...]

# The operations that mark a recorded loop: its first state, the test before each pass, and the state after a pass.
START, TEST, END = "counterplay::loop_start", "counterplay::loop_test", "counterplay::loop_end"


@dataclass
class Recording:
    """The loops of a function that is being traced. ``cost()`` is what the function has spent so far."""

    cost: Callable[[], Spent]
    passes: list[Spent] = field(default_factory=list)  # what one pass of each loop spends


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextlib.contextmanager
def loops_as_one_pass(cost: Callable[[], Spent]) -> Iterator[Recording]:
    """A context in which :func:`repeated` makes one pass, between the marks of a loop. For a trace alone."""
    before = _recording.set(found := Recording(cost))
    try:
        yield found
    finally:
        _recording.reset(before)


def repeated(once: Callable[..., State], state: State, done: Callable[..., Tensor], most: int) -> State:
    """``state`` after ``state = once(*state)`` until ``done(*state)`` holds everywhere, but at most ``most`` times.

    ``once`` must return all that is used after the loop.
    """
    if (recording := _recording.get()) is None:
        for _ in range(most):
            if bool(done(*state).all()):
                break
            state = once(*state)
        return state
    start, test, end = _marks()
    loop, before = len(recording.passes), recording.cost()
    recording.passes.append(before)
    inside = start(list(state), loop)
    test(done(*inside).all(), loop, most)
    after = end(list(once(*inside)), inside, loop)
    recording.passes[loop] = tuple(b - a for a, b in zip(before, recording.cost(), strict=True))
    return tuple(after)


@cache
def _marks() -> tuple[Any, Any, Any]:
    def start(state: list[Tensor], loop: int) -> list[Tensor]:
        return [x.clone() for x in state]

    def test(done: Tensor, loop: int, most: int) -> None:
        return None

    def end(after: list[Tensor], state: list[Tensor], loop: int) -> list[Tensor]:
        return [x.clone() for x in after]

    for name, meaning, schema in (
        (START, start, "(Tensor[] state, int loop) -> Tensor[]"),
        (TEST, test, "(Tensor done, int loop, int most) -> ()"),
        (END, end, "(Tensor[] after, Tensor[] state, int loop) -> Tensor[]"),
    ):
        torch.library.custom_op(name, meaning, mutates_args=(), schema=schema).register_fake(meaning)
    ops = torch.ops.counterplay
    return ops.loop_start, ops.loop_test, ops.loop_end
