"""What a run is asked besides its game and its solver: recorded in run.json, so that it can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from operator import index
from typing import Any

import numpy as np
import torch

from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer, regularized
from ..seeding import SCHEME, SEEDS

DTYPES = {"float32": torch.float32, "float64": torch.float64}
LEAST = {
    "steps": 0, "seed": 0, "members": 1, "every": 1, "spectrum_every": 0, "checkpoint_every": 0, "sample_every": 1,
    "trace_from": 0, "compile_from": 0, "seeding": 1,
}  # fmt: skip
UNSET = ("members", "sample_every", "trace_from", "compile_from")  # may be None


@dataclass(frozen=True)
class Settings:
    """See ``counterplay.run``. ``trace_from`` and ``compile_from`` are the steps from which graphs are replayed, and
    many steps are taken at once; None: never. They are decided when a run begins: a resumed one is the same.
    """

    steps: int
    seed: int
    until: str | None
    members: int | None
    device: str | None
    dtype: str | None
    every: int
    spectrum_every: int
    checkpoint_every: int
    blowup: float | None
    trace_from: int | None
    compile_from: int | None = None
    sample_every: int | None = None
    inexact_data: bool = False  # what is drawn may come from elsewhere than the generator
    seeding: int = 1  # of members, in runs that do not say: see ``core.seeding``

    @staticmethod
    def read(facts: Mapping[str, Any]) -> Settings:
        """Those in run.json. Runs used to be traced and compiled as a whole, or not at all."""
        known = dict(facts)
        for old, new in (("trace", "trace_from"), ("compile", "compile_from")):
            if old in known:
                known[new] = 0 if known.pop(old) else None
        return Settings(**known)

    def checked(self) -> Settings:
        """Itself, if every setting can be used. Raises UsageError."""
        asked = {name for name in LEAST if getattr(self, name) is not None or name not in UNSET}
        whole: dict[str, Any] = {name: self._whole(name, least) for name, least in LEAST.items() if name in asked}
        if whole["seed"] >= SEEDS:
            raise UsageError(f"seed must be a whole number from 0 to 2^64 - 1, got {self.seed!r:.80}.")
        if whole["seeding"] > SCHEME:
            raise UsageError(
                f"seeding {self.seeding!r:.80} is that of a newer version; {SCHEME} is the newest known here."
            )
        if self.blowup is not None and not (isinstance(self.blowup, Real) and self.blowup > 0):
            raise UsageError(f"blowup must be a number above 0, or inf, got {self.blowup!r}.")
        if str(self.device).startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(
                f"device {self.device} was asked for, and torch {torch.__version__} finds no CUDA device here."
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"unknown dtype {self.dtype!r}: expected float32 or float64.")
        if not isinstance(self.inexact_data, bool):
            raise UsageError(f"inexact-data must be true or false, got {self.inexact_data!r:.80}.")
        return replace(self, **whole, blowup=None if self.blowup is None else float(self.blowup))

    def _whole(self, name: str, least: int) -> int:
        """The setting as an int, whatever whole number it was given as: numpy's, say."""
        value = getattr(self, name)
        try:
            if not isinstance(value, bool | np.bool_) and index(value) >= least:
                return index(value)
        except TypeError:
            pass
        raise UsageError(f"{name.replace('_', '-')} must be a whole number of at least {least}, got {value!r:.80}.")

    @property
    def sampling(self) -> int:
        """Steps between samples, and between evaluations of the game's metrics."""
        return max(1, self.steps // 10) if self.sample_every is None else self.sample_every

    def evaluator(self, game: Game, regularizers: Sequence[Regularizer]) -> Evaluator:
        """The game under its regularisers, made ready for play."""
        dtype = None if self.dtype is None else DTYPES[self.dtype]
        game, since = regularized(game, *regularizers), self.trace_from
        return Evaluator(game, self.members, dtype, self.device, since is not None, since or 0, seeding=self.seeding)

    def facts(self) -> dict[str, object]:
        """As run.json holds them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
