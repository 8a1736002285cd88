"""What code of other people must leave as it found it: random numbers, torch's settings, signal handlers."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

Facet = tuple[Any, Callable[[], object]]  # a value that compares, and what puts it back


@contextlib.contextmanager
def undisturbed(report: Callable[[str], None]) -> Iterator[None]:
    """Put back what changed inside; ``report`` is told what that was. Imports torch."""
    before = _facets()
    try:
        yield
    finally:
        now = _facets()
        for what, (value, put_back) in before.items():
            if now[what][0] != value:
                put_back()
                report(f"changed {what}; this was put back")


def _facets() -> dict[str, Facet]:
    torch, np = import_module("torch"), import_module("numpy")
    ours, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    device = torch.get_default_device()
    # The CPU by name would wrap every call of torch from then on, and nothing could be traced.
    named = None if device == torch.device("cpu") else device
    return {
        "Python's random numbers": (ours, lambda: random.setstate(ours)),
        "numpy's random numbers": ((numpys[1].tobytes(), numpys[2:]), lambda: np.random.set_state(numpys)),
        "torch's random numbers": (torchs.numpy().tobytes(), lambda: torch.set_rng_state(torchs)),
        "torch's default dtype": (dtype, lambda: torch.set_default_dtype(dtype)),
        "torch's default device": (device, lambda: torch.set_default_device(named)),
        "torch's number of threads": (threads, lambda: torch.set_num_threads(threads)),
        "torch's gradient mode": (grad, lambda: torch.set_grad_enabled(grad)),
    } | {f"the handler of {_name(n)}": _handler(n) for n in sorted(signal.valid_signals())}


def _handler(number: int) -> Facet:
    handler = signal.getsignal(number)

    def put_back() -> None:
        with contextlib.suppress(ValueError, OSError):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    return handler, put_back


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
