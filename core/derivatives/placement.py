"""Where the tensors of a run are: on which device, in which precision, in which order in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..game.tree import copied_to_device
from .stacking import tensor


@dataclass(frozen=True)
class Placement:
    """Puts tensors on ``device`` and floating ones into ``dtype``; None: they stay as they are.

    With ``channels_last`` tensors (B, C, H, W) have their channels last in memory.
    """

    dtype: torch.dtype | None = None
    device: torch.device | str | None = None
    channels_last: bool = False

    def __call__(self, tree: Any) -> Any:
        """``tree`` with all tensors and arrays in it in their place."""
        return tree_map(self._place, tree)

    def _place(self, x: Any) -> Any:
        x = tensor(x)
        if not isinstance(x, Tensor):
            return x
        dtype = self.dtype if x.is_floating_point() else None
        if self._device is not None and x.is_cpu:
            x = copied_to_device(x.to(None, dtype), self._device)
        if self.channels_last and x.dim() == 4:
            return x.to(self.device, dtype, memory_format=torch.channels_last)
        return x.to(self.device, dtype)

    @cached_property
    def _device(self) -> torch.device | None:
        return None if self.device is None else torch.device(self.device)
