"""torch's switches for speed and exactness. They hold for the whole process, so each is put back after a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from ..errors import UsageError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without it cuBLAS may add in another order; ":4096:8" is what NVIDIA advises
_MEMORY: Any = torch.utils.deterministic
_NO_FORM = "does not have a deterministic implementation"  # in torch's message


@contextlib.contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """A context in which float32 products and convolutions on CUDA are full ones, or with ``tf32`` faster: 10-bit ones.

    torch's own default is TF32 in convolutions and not in products.
    """
    backends: Any = torch.backends
    older = [(backends.cuda.matmul, "allow_tf32"), (backends.cudnn, "allow_tf32")]
    newer = [(x, "fp32_precision") for x in (backends.cuda.matmul, backends.mkldnn.matmul)]
    newer += [(x, "fp32_precision") for x in (backends.cudnn.conv, backends.cudnn.rnn)]
    before_older, before_newer, medium = _values(older), _values(newer), _is_medium()
    for owner, name in older:
        setattr(owner, name, tf32)
    try:
        yield
    finally:
        for owner, name, value in before_older:
            setattr(owner, name, value)
        if medium:  # which neither says, and which sets some of the newer ones
            torch.set_float32_matmul_precision("medium")
        for owner, name, value in before_newer:
            setattr(owner, name, value)


def _values(flags: list[tuple[Any, str]]) -> list[tuple[Any, str, Any]]:
    """The flags with their values, without those that torch refuses to read: older ones that contradict newer ones."""
    found = []
    for owner, name in flags:
        with contextlib.suppress(RuntimeError):
            found.append((owner, name, getattr(owner, name)))
    return found


def _is_medium() -> bool:
    with contextlib.suppress(RuntimeError):
        return torch.get_float32_matmul_precision() == "medium"
    return False


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """A context in which, if it is ``wanted``, every operation gives the same bits each time on the same device.

    Raises UsageError if one is used that cannot. cuBLAS reads its part of this when the process first uses it.
    """
    if not wanted:
        yield
        return
    mode, cudnn = torch.get_deterministic_debug_mode(), torch.backends.cudnn
    filled, flags = _MEMORY.fill_uninitialized_memory, (cudnn.deterministic, cudnn.benchmark)
    ours = _WORKSPACE not in os.environ
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    _MEMORY.fill_uninitialized_memory = False  # a help in debugging that costs time
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        if _NO_FORM not in str(error):
            raise
        operation = str(error).partition(_NO_FORM)[0].strip()
        raise UsageError(f"deterministic: {operation} {_NO_FORM} here; leave deterministic out.") from error
    finally:
        torch.set_deterministic_debug_mode(mode)
        _MEMORY.fill_uninitialized_memory = filled
        cudnn.deterministic, cudnn.benchmark = flags
        if ours:
            os.environ.pop(_WORKSPACE, None)
