"""The 1,797 handwritten digits of scikit-learn, 8x8 pixels of 17 shades of grey.

Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", UCI machine learning repository.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.images.dataset import Dataset, Images
from .digit_images import load_digits


@dataclass(frozen=True)
class DigitImages(Dataset):
    """All 1,797 images with their digits; shades 0 to 16 become 0 to 255."""

    def load(self) -> Images:
        images, digits = load_digits()
        return Images.of(((images + 1) * 127.5).round().to(torch.uint8), digits, [str(d) for d in range(10)])
