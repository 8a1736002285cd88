"""Harm in what a log holds: it is built like a log, and is not as the format says."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from .hostile import STEPS, Harms, collector, in_log

HARMS: Harms = {}
harm = collector(HARMS)


def replace(f: h5py.File, key: str, data: np.ndarray, dimensions: str = "step") -> None:
    del f[key]
    f[key] = data
    f[key].attrs["dimensions"] = dimensions


@harm("is damaged: /step/losses has 2 axes but names 1")
def rename(f: h5py.File, away: Path) -> None:
    f["step/losses"].attrs["dimensions"] = "step"


@harm("is damaged: /step/losses has 2 axes but names 0")
def unnamed(f: h5py.File, away: Path) -> None:
    del f["step/losses"].attrs["dimensions"]


@harm("is damaged: /step/short has not as many rows")
def shorter(f: h5py.File, away: Path) -> None:
    f["step/short"] = np.zeros(3)
    f["step/short"].attrs["dimensions"] = "step"


@harm("is damaged or not a log: ")
def stepless(f: h5py.File, away: Path) -> None:
    del f["step/step"]


@harm("is an HDF5 file but not a log")
def other(f: h5py.File, away: Path) -> None:
    f.attrs["format"] = "something-else"


@harm("has log format 99")
def later(f: h5py.File, away: Path) -> None:
    f.attrs["format_version"] = 99


@harm("is damaged: /metrics is not a group")
def leaf(f: h5py.File, away: Path) -> None:
    del f["metrics"]
    f["metrics"] = 3.0


REPLACED = {  # name -> what is said, and what is replaced by what
    "steps_of_nan": ("/step/step is <f8 along step", "step/step", np.full(STEPS, np.nan)),
    "losses_of_one": ("/step/losses is <f8 along step", "step/losses", np.zeros(STEPS)),
    "losses_of_integers": (
        "/step/losses is <i8 along step × player", "step/losses", np.zeros((STEPS, 2), "<i8"), "step player",
    ),
    "one_loss_too_many": (
        "the axis 'player' of /step/losses has 3 entries, not 2", "step/losses", np.zeros((STEPS, 3)), "step player",
    ),
    "empty_images": (
        "the axis 'width' of /samples/images is empty", "samples/images", np.zeros((1, 4, 1, 8, 0), "<f4"),
        "samples image channel height width",
    ),
}  # fmt: skip
for name, (said, *how) in REPLACED.items():
    HARMS[name] = in_log(lambda f, away, how=how: replace(f, *how)), f"is damaged: {said}"


@harm("is damaged: it does not name its players")
def nameless(f: h5py.File, away: Path) -> None:
    for group in ("step", "spectrum"):
        f[group].pop("player", None)


@harm("was refused: it claims 1,000,000 members")
def crowd(f: h5py.File, away: Path) -> None:
    for key in ("step", "spectrum/status", "spectrum/residuals", "spectrum/count"):
        del f[key]
    replace(f, "spectrum/eigenvalues", np.zeros((1, 1_000_000, 1), "<c16"), "spectrum member mode")


@harm("is damaged: A variable of the log cannot be named")
def colourful(f: h5py.File, away: Path) -> None:
    f["step/\x1b[31mred\x07"] = np.zeros(STEPS)
    f["step/\x1b[31mred\x07"].attrs["dimensions"] = "step"


@harm("�[31mred is a soft")
def colourful_link(f: h5py.File, away: Path) -> None:
    f["\x1b[31mred"] = h5py.SoftLink("/step")
