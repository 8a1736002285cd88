"""The settings of a run: what a user chooses besides the game and the solver.

A setting is a field here and a keyword of `counterplay.run`. Its option on the command line, its key in an experiment's
file, its environment variable and its checks follow from the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from .options import Positive, option
from .typed_values import LARGEST

Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
Count = Annotated[int, Meta(ge=1, le=LARGEST)]


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """The settings that a user asks for. `counterplay.run` says what they do.

    In the metadata of a field, ``usual`` is its default in words, ``expected`` says which values it takes, and
    ``unsaid`` is a value that means "not given": it cannot be typed, and it is not written out.
    """

    steps: Whole = option(1000, "How many steps.")
    until: str | None = option(
        None, "Stop when it holds, as gradient_norm<1e-6 or metric.fid<20; exit 11 if never.", metavar="CONDITION"
    )
    patience: Count | None = option(
        None, "Stop when so many measurements in a row were no better; exit 11.", usual="never"
    )
    seed: Annotated[int, Meta(ge=0)] = option(
        0, "Every random number comes from it.", expected="a whole number from 0 to 2^63 - 1"
    )  # in Python up to 2^64 - 1, but TOML has no numbers so large
    members: Count | None = option(None, "Play this many at once, each from a seed of its own.")
    device: str | None = option(None, "Where it runs.")
    dtype: Literal["float32", "float64"] | None = option(
        None, "Precision.", metavar="float32|float64", usual="the game's"
    )
    every: Count = option(1, "Record every so many steps.")
    spectrum_every: Whole = option(
        0, "Record spectra every so many steps; of networks one costs as much as a thousand steps.", unsaid=0
    )
    sample_every: Count | None = option(None, "Record samples and metrics every so many steps.", usual="STEPS/10")
    checkpoint_every: Whole = option(0, "Write a checkpoint every so many steps.", unsaid=0)
    blowup: Positive | None = option(None, "Stop when the parameters' norm exceeds this; inf turns it off.")
    deterministic: bool = option(False, "Use operations that give the same bits each time, on a GPU too; slower.")
    tf32: bool = option(False, "On a GPU, multiply float32 numbers in TF32: faster, 10 bits. No effect on the CPU.")
    channels_last: bool = option(False, "Keep images and kernels of convolutions with their channels last in memory.")
    inexact_data: bool = option(False, "Play what cannot be repeated exactly; marks the log.")
