"""A second device, ``sham:0``, as strict as CUDA: it computes on the CPU, but refuses tensors of two devices together.

It notes what makes a host wait for a GPU: reading a number, copying from memory that is not pinned, and operations of
linear algebra that look at their own result. :func:`on_sham` is a context in which ``device="sham:0"`` can be played.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from counterplay.core.run import device as devices

A = torch.ops.aten
NAME = "sham:0"
COPIES = {A._to_copy.default, A.copy_.default}
# Operations after which the host waits: those that return a number, or whose kernel looks at what it has computed.
READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_consecutive",
    "_linalg_check_errors", "_linalg_svd", "_linalg_eigh", "linalg_eig", "_linalg_eigvals", "linalg_eigvals",
    "linalg_pinv", "linalg_lstsq", "bincount", "allclose",
}  # fmt: skip


@dataclass
class Notes:
    """What has happened on the device: each wait of the host, as an operation and the line of ours that called it."""

    waits: list[str] = field(default_factory=list)
    operations: int = 0

    def wait(self, what: str) -> None:
        self.waits.append(f"{what} at {_place()}")


NOTES = Notes()


class Sham(Tensor):
    """A tensor on the device: its numbers are in ``numbers``, on the CPU."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Sham:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=torch.device(NAME)
        )
        made.numbers = inner
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Sham({self.numbers})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    NOTES.operations += 1
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    mine = [x for x in given if isinstance(x, Sham)]
    target = kwargs.get("device")
    name = func._schema.name.removeprefix("aten::")
    if func in COPIES:
        source, to_sham = (args[1], isinstance(args[0], Sham)) if func is A.copy_.default else (args[0], None)
        if to_sham is None:
            to_sham = torch.device(target).type == "sham" if target is not None else isinstance(source, Sham)
        _note_copy(source, to_sham, args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    else:
        _require_one_device(name, given, mine)
        to_sham = bool(mine) or target is not None
        if name in READS or (name in ("index", "index_put", "index_put_") and _masks(args[1])):
            NOTES.wait(name)
    plain = lambda x: x.numbers if isinstance(x, Sham) else x  # noqa: E731
    on_cpu = {k: tree_map(plain, x) for k, x in kwargs.items() if k not in ("device", "pin_memory")}
    if target is not None:
        on_cpu["device"] = torch.device("cpu")
    with torch._C._DisableTorchDispatch() if not mine else contextlib.nullcontext():
        out = func(*tree_map(plain, args), **on_cpu)
    if func is A.copy_.default:
        return args[0]
    wrapped = tree_map(lambda x: Sham(x) if to_sham and isinstance(x, Tensor) else x, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if mine and to_sham else wrapped


def _masks(indices: Any) -> bool:
    return any(isinstance(x, Tensor) and x.dtype is torch.bool for x in indices)


def _require_one_device(name: str, given: list[Tensor], mine: list[Sham]) -> None:
    """Scalars of the CPU may be mixed in, as with CUDA, but not where tensors are put side by side."""
    alien = [x for x in given if not isinstance(x, Sham) and (x.dim() > 0 or name in ("cat", "stack"))]
    if mine and alien:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found {NAME} and cpu, at {_place()}"
        )


def _note_copy(source: Tensor, to_sham: bool, non_blocking: bool) -> None:
    if isinstance(source, Sham) and not to_sham:
        NOTES.wait("a copy to the host")
    elif not isinstance(source, Sham) and to_sham and not (non_blocking and getattr(source, "pinned", False)):
        NOTES.wait("a copy from memory that is not pinned")


def _place() -> str:
    """The innermost line of the package."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("counterplay."):
            return f"{frame.f_code.co_filename.rpartition('/counterplay/')[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


def register() -> None:
    _setup_privateuseone_for_python_backend("sham")
    rest, made = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL", "PrivateUse1")
    rest.fallback(lambda func, *args, **kwargs: _computed(func, args, kwargs), "PrivateUse1")
    for name in RESIZED:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(A, packet), overload or "default")
        made.impl(name, lambda *args, _func=func, **kwargs: _computed(_func, args, kwargs))
    _KEPT.extend((rest, made))


_KEPT: list[Any] = []
RESIZED = ("eye", "eye.m", "arange", "arange.start", "arange.start_step", "linspace")  # torch makes them by a resize


def _pinned(x: Tensor, *_: Any) -> Tensor:
    copy = x.clone()
    copy.pinned = True  # type: ignore[attr-defined]
    return copy


@contextlib.contextmanager
def on_sham(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notes]:
    """A context in which the device can be asked for; gives the notes of what happens on it."""
    if not _KEPT:
        register()
    with monkeypatch.context() as patch:
        patch.setattr(devices, "require_device", lambda *_: None)
        patch.setattr("counterplay.core.run.settings.require_device", lambda *_: None)
        patch.setattr(Tensor, "pin_memory", _pinned)
        NOTES.waits.clear()
        yield NOTES
