"""The tests of a real GPU, ``-m gpu``: without one they fail, as they were asked for."""

from __future__ import annotations

import pytest
import torch

DEVICE = "cuda"


@pytest.fixture(autouse=True)
def _needs_a_gpu() -> None:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.fail(f"torch {torch.__version__} finds no CUDA device here: -m gpu needs one.", pytrace=False)


@pytest.fixture
def device() -> str:
    return DEVICE
