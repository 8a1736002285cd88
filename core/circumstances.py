"""What a run is made of and under what it runs, as plain data: what run.json keeps, and resume compares."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from .prepared import Prepared
from .tree import Params, Player, leaves


def versions() -> dict[str, str]:
    """What a run depends on, by version."""
    import h5py
    import numpy

    from .. import __version__

    return {
        "counterplay": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "numpy": numpy.__version__, "h5py": h5py.__version__,
    }  # fmt: skip


def circumstances(game: Prepared, params: Params) -> dict[str, Any]:
    first = leaves(params)[0]
    counts: dict[Player, int] = {
        i: sum(x.numel() for x in t.values()) // (game.members or 1) for i, t in params.items()
    }
    return {
        "players": counts, "dtype": str(first.dtype).removeprefix("torch."), "device": str(first.device),
        "threads": torch.get_num_threads(), "platform": platform.platform(), "processors": os.cpu_count(),
        "argv": sys.argv[1:],
    }  # fmt: skip


def described(game: Prepared, solver: Any) -> dict[str, Any]:
    """An experiment put together in Python, in words: class names and settings."""
    return {"game": describe(game.game), "solver": describe(solver)}


def describe(x: Any) -> Any:
    """A frozen dataclass as {"name": class, field: value, ...}; anything else as plain data or its repr."""
    if is_dataclass(x) and not isinstance(x, type):
        shown = {f.name: describe(getattr(x, f.name)) for f in fields(x) if f.repr}
        return {"name": getattr(type(x), "name", type(x).__name__), **shown}
    if isinstance(x, Mapping):
        return {str(k): describe(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [describe(v) for v in x]
    if x is None or isinstance(x, bool | int | float | str):
        return x
    return f"tensor {tuple(x.shape)}" if isinstance(x, Tensor) else getattr(x, "__qualname__", type(x).__qualname__)
