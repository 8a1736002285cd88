"""Faces with residual networks and three methods: only consensus optimization is said to train them.

It takes three runs of 150,000 steps, so it is played at the scale "paper" only, with CelebA's photographs and a GPU.
Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Fig. 3b and 7, with the settings of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import UsageError
from ....core.experiments.claim import Claim, Measured, above, below
from ....core.experiments.experiment import Computed, Experiment, Logs, Scale
from ....core.experiments.intervals import median
from ....core.experiments.panel import Panel, curve
from ....core.options import Count, option
from .num_images import LATE, METHODS, WAY, rms_run


@dataclass(frozen=True)
class NumFaces(Experiment):
    """Residual networks on the faces of CelebA, with three methods. It is played at the scale "paper" only."""

    root: str = option("", "folder with CelebA's aligned photographs")
    members: Count = option(3, "seeds of each run; the paper has one")

    needs: ClassVar[tuple[str, ...]] = ("CelebA's photographs", "a GPU")
    files: ClassVar[str] = "the photographs"
    notes: ClassVar[str] = (
        "The paper prints neither steps nor step size. Its code had 150,000 steps of 1e-4 with 64 filters and batches "
        "of 64, and later 1,500,000 of 5e-5 with 128 and 128; here it is 150,000 of 1e-4 with 128 and 128. "
        "Samples without numbers are shown there; here they are measured by FID, recall and how samples change. "
        "Of three seeds, the interval is the whole range."
    )

    def claims(self) -> Sequence[Claim]:
        """Fig. 3b and 7."""
        return (
            Claim("simgd", "Simultaneous descent completely fails to train the residual networks.", "NUM Fig. 7a",
                  (below("gained_simgd", WAY, "completely fails", "of the FID of untrained images, the share lost"),)),
            Claim("altgd", "Alternating descent does better than that, but ends in a bad solution.", "NUM Fig. 7b",
                  (above("simgd_over_altgd", 1.0, "better", "ratio of the FIDs"),
                   above("altgd_over_conopt", 1.0, "bad", "ratio of the FIDs"))),
            Claim("collapse", "There its modes collapse, and its results keep changing.", "NUM Fig. 7b",
                  (below("recall_over_conopt", 1.0, "significant", "recall of altgd over that of conopt"),
                   above("change_over_conopt", 1.0, "keep changing", "of pixels between looks, altgd over conopt"))),
            Claim("conopt", "Only consensus optimization gives compelling results.", "NUM Fig. 3b, 7c",
                  (above("gained_conopt", 1 - WAY, "compelling", "of the FID of untrained images, the share lost"),)),
        )  # fmt: skip

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        if scale == "quick":
            raise UsageError("num-faces has no quick scale: it takes days on a GPU; give --scale paper.")
        metrics = [{"name": name, "extractor": "inception", "samples": 10_000} for name in ("fid", "precision-recall")]
        game = {"name": "celeba", "data": {"name": "folder", "root": self.root, "side": 64}, "metrics": metrics}
        return {method: rms_run(game, method, 1e-4, 150_000, 30, members=self.members) for method in METHODS}

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        fid, recall = ({m: _members(logs[m], x) for m in METHODS} for x in ("fid", "recall"))
        end, seen = ({m: x[m][LATE].mean(0) for m in METHODS} for x in (fid, recall))
        change = {m: _change(logs[m]["samples/images"][LATE], len(end[m])) for m in METHODS}
        found = {f"gained_{m}": 1 - end[m] / fid[m][0] for m in METHODS} | {
            "simgd_over_altgd": end["simgd"] / end["altgd"], "altgd_over_conopt": end["altgd"] / end["conopt"],
            "recall_over_conopt": seen["altgd"] / seen["conopt"],
            "change_over_conopt": change["altgd"] / change["conopt"],
        }  # fmt: skip
        return {name: median(x) for name, x in found.items()}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        curves = [curve(m, logs[m]["metrics/step"], _members(logs[m], "fid").mean(1)) for m in METHODS]
        return [Panel("Fig. 7 in numbers", "step", "FID, mean over seeds", tuple(curves), log="y")]


def _members(log: Mapping[str, NDArray[np.float64]], figure: str) -> NDArray[np.float64]:
    """A figure at each look, (looks, members)."""
    found = log[f"metrics/{figure}"]
    return found.reshape(len(found), -1)


def _change(images: NDArray[np.float64], members: int) -> NDArray[np.float64]:
    """The mean distance of pixels from look to look, (members,), of images of the same noise."""
    by_member = np.asarray(images, dtype=float).reshape(len(images), members, -1)
    return np.asarray(np.abs(np.diff(by_member, axis=0)).mean((0, 2)))
