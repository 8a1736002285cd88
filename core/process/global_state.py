"""Settings of torch that hold for the whole process. If a plugin changes them, other code computes something else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any


@contextlib.contextmanager
def restoring_torch_settings(report: Callable[[str], None]) -> Iterator[None]:
    """A context that puts back the settings that were changed inside, and calls ``report`` for each. Imports torch."""
    before = settings()
    try:
        yield
    finally:
        now = settings()
        for what, (value, put_back) in before.items():
            if now[what][0] != value:
                put_back()
                report(f"changed {what}; this was put back")


def settings() -> dict[str, tuple[Any, Callable[[], object]]]:
    """Each setting by name: its value, and a function that sets this value again."""
    torch = import_module("torch")
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    device = torch.get_default_device()
    # After torch.set_default_device, even with the CPU, torch wraps every call, and nothing can be traced any more.
    named = None if device == torch.device("cpu") else device
    return {
        "torch's default dtype": (dtype, lambda: torch.set_default_dtype(dtype)),
        "torch's default device": (device, lambda: torch.set_default_device(named)),
        "torch's number of threads": (threads, lambda: torch.set_num_threads(threads)),
        "torch's gradient mode": (grad, lambda: torch.set_grad_enabled(grad)),
    }
