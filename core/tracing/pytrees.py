"""Nested dicts, lists and tuples of tensors and constants: their tensors, and the key that a program is reused by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .inspection import is_immutable_value

CONSTANTS = (int, float, complex, bool, str, type(None), torch.dtype, torch.device)


def flatten(x: Any, leaves: list[Tensor], key: list[Any]) -> None:
    """Append the tensors of ``x`` to ``leaves``, and everything but their numbers (structure, shapes, ...) to ``key``.

    Raises:
        TypeError: an item is neither a plain tensor nor a constant, so it cannot be compared with the next call's.
    """
    kind = type(x)
    if kind is Tensor or kind is torch.nn.Parameter:
        leaves.append(x)
        key += (x.shape, x.dtype, x.device)
    elif kind is str:
        key += (str, x)
    elif kind is dict or isinstance(x, Mapping):
        key.append((kind, tuple(x)))
        for item in x.values():
            flatten(item, leaves, key)
    elif kind is tuple or isinstance(x, list | tuple):
        key += (kind, len(x))
        for item in x:
            flatten(item, leaves, key)
    elif isinstance(x, Tensor) or not is_immutable_value(x):
        raise TypeError(f"an argument is a {kind.__name__}")
    else:
        hash(x)
        # 1, 1.0 and True are equal but compute differently, and nan does not equal itself.
        key += (kind, repr(x) if isinstance(x, float | complex) else x)


def rebuild(x: Any, replace: Callable[[Tensor], Any]) -> Any:
    """``x`` with ``replace`` applied to its tensors in the order of :func:`flatten`; every mapping becomes a dict."""
    if isinstance(x, Tensor):
        return replace(x)
    if isinstance(x, Mapping):
        return {k: rebuild(item, replace) for k, item in x.items()}
    if isinstance(x, list | tuple):
        items = [rebuild(item, replace) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return x
