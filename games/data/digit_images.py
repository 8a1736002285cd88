"""The 1,797 handwritten digits of scikit-learn, as tensors."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...core.errors import UsageError


@lru_cache(maxsize=1)
def load_digits() -> tuple[Tensor, Tensor]:
    """All images (1797, 1, 8, 8) in [-1, 1] and their digits (1797,). Raises UsageError without scikit-learn."""
    try:
        from sklearn import datasets
    except ImportError:
        raise UsageError("game digits needs scikit-learn: pip install 'counterplay[data]'.") from None
    images, digits = datasets.load_digits(return_X_y=True)
    x = torch.from_numpy(images).to(torch.float32).reshape(-1, 1, 8, 8) / 8 - 1
    return x, torch.from_numpy(digits)
