"""Distances of pixels are not those that the eye sees: a photograph and a tiny warp of it are far apart.

The paper shows three pairs of photographs, in the order of their Euclidean distance: two equal ones, two that differ to
the eye, and one with a tiny warp of it. Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Fig. 2 and 10.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.experiments.claim import Claim, Measured, above, below, exactly, near
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.panel import Panel, Series, curve

SQUARE, DARKER = 48, 80  # pixels of a side, shades of 255: seen at once
WARPS = (0.5, 1.0, 1.5, 2.0)  # pixels, at most; the third pair has the last one
WAVE = 64.0  # pixels of one wave of the warp


@dataclass(frozen=True)
class IcrPixels(Experiment):
    """Three pairs of photographs of 427 x 640 pixels: equal ones, one with a dark square, one warped by 2 pixels."""

    needs: ClassVar[tuple[str, ...]] = ("the packages scikit-learn, for its two photographs, and Pillow",)
    notes: ClassVar[str] = (
        "The paper's photographs are not published with it; ours are those of scikit-learn. Its distances are not "
        "printed, only their order. The warp moves pixels along sine waves of 64 pixels, by cubic splines."
    )

    def missing(self, device: str) -> str:
        lacking = [p for p, name in (("scikit-learn", "sklearn"), ("Pillow", "PIL"))
                   if importlib.util.find_spec(name) is None]  # fmt: skip
        return f"it needs the package {lacking[0]}: pip install {lacking[0]}." if lacking else ""

    def claims(self) -> Sequence[Claim]:
        """Fig. 2 and 10."""
        return (
            Claim("order", "A tiny warp is farther away than a change that is seen at once.", "ICR Fig. 2 and 10",
                  (near("equal", 0.0, 0.0, "the same pixels", "0, the first pair is identical"),
                   above("warp_over_square", 1.0, "> 1", "distance of the third pair over that of the second"))),
            Claim("tiny", "Nothing moved by more than two pixels of 640.", "ours: how the third pair is made",
                  (below("moved", 2.0, "tiny", "the largest distance by which the warp moves a point, in pixels"),)),
        )  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        from sklearn.datasets import load_sample_images

        china, flower = (np.asarray(x, dtype=float) for x in load_sample_images().images)
        return {
            "equal": distance(flower, flower),
            "square": distance(flower, with_square(flower)),
            "warps": [distance(china, warped(china, most)) for most in WARPS],
            "moved": float(np.hypot(*displacement(china.shape[:2], WARPS[-1])).max()),
        }

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        return {
            "equal": exactly(computed["equal"]), "moved": exactly(computed["moved"]),
            "warp_over_square": exactly(computed["warps"][-1] / computed["square"]),
        }  # fmt: skip

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        bars = Series("pairs", [0, 1, 2], [computed["equal"], computed["square"], computed["warps"][-1]], "bars")
        by = curve("warped", WARPS, computed["warps"])
        title, label = "Fig. 2: three pairs", "distance, shades per pixel"
        return [
            Panel(title, "", label, (bars,), ticks=("equal", "dark square", "warped by 2 pixels")),
            Panel("a larger warp", "pixels", label, (by,), marks={"dark square": computed["square"]}),
        ]


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The Euclidean distance of two images over the root of their number of values: shades of 255."""
    return float(np.sqrt(np.mean((a - b) ** 2)))


def with_square(image: NDArray[Any]) -> NDArray[Any]:
    """The image (H, W, 3) with a darker square in its middle."""
    found = image.copy()
    top, left = ((n - SQUARE) // 2 for n in image.shape[:2])
    found[top : top + SQUARE, left : left + SQUARE] -= DARKER
    return np.maximum(found, 0.0)


def displacement(shape: Sequence[int], most: float) -> NDArray[np.float64]:
    """By how many pixels each point moves down and right, (2, H, W), at most ``most`` in all."""
    y, x = np.mgrid[: shape[0], : shape[1]] * (2 * np.pi / WAVE)
    return most / np.sqrt(2) * np.stack([np.sin(x), np.sin(y)])


def warped(image: NDArray[Any], most: float) -> NDArray[Any]:
    """The image (H, W, 3) whose points have moved by at most ``most`` pixels."""
    from scipy.ndimage import map_coordinates

    at = np.mgrid[: image.shape[0], : image.shape[1]] + displacement(image.shape[:2], most)
    return np.stack([map_coordinates(image[..., c], at, mode="nearest") for c in range(3)], axis=-1)
