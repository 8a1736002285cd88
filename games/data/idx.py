"""The idx format of MNIST: two zero bytes, the type of the numbers, how many axes, their lengths, and the numbers.

LeCun, Cortes and Burges (1998), "The MNIST database of handwritten digits", which describes it under "File formats".
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ...core.errors import BadData
from .files import MOST, at_end, take

UBYTE = 8


def read_idx(file: BinaryIO, path: Path, inner: tuple[int, ...], what: str) -> tuple[Tensor, bytearray]:
    """The numbers, uint8 of shape (N, *inner), and all bytes of the file. Raises BadData.

    ``what`` are the words for a file of this shape, as in "images of 28x28".
    """
    axes = 1 + len(inner)
    data = take(file, 4 + 4 * axes, path, "a header")
    zero, kind, found, *shape = struct.unpack(f">HBB{axes}I", data)
    if (zero, kind, found) != (0, UBYTE, axes):
        expected = bytes((0, 0, UBYTE, axes)).hex(" ")
        raise BadData(f"{path} is no idx file of {what}: it begins with {data[:4].hex(' ')}, expected {expected}.")
    count = math.prod(shape)
    if tuple(shape[1:]) != inner or not 0 < count <= MOST:
        raise BadData(f"{path} says that it has the shape {tuple(shape)}; {what} are expected, of at most 1 GiB.")
    begin = len(data)
    data += take(file, count, path, f"its {shape[0]:,} {what.partition(' ')[0]}")
    at_end(file, path)
    return torch.frombuffer(data, dtype=torch.uint8, offset=begin).reshape(shape), data
