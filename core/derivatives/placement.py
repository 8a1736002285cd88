"""Where the tensors of a run are: on which device, in which precision, in which order in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

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
        if self._away and x.is_cpu:  # from pinned memory, so that the host need not wait for the copy
            x = x.to(None, dtype).pin_memory().to(self.device, non_blocking=True)
        if self.channels_last and x.dim() == 4:
            return x.to(self.device, dtype, memory_format=torch.channels_last)
        return x.to(self.device, dtype)

    @cached_property
    def _away(self) -> bool:
        """Whether the device is another one than the host's."""
        return self.device is not None and torch.device(self.device).type != "cpu"
