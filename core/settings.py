"""What a run is asked besides its game and its solver: recorded in run.json, so that it can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from .errors import UsageError
from .game import Game
from .prepared import Prepared
from .regularizer import Regularizer, regularized

DTYPES = {"float32": torch.float32, "float64": torch.float64}
LEAST = {
    "steps": 0, "members": 1, "every": 1, "spectrum_every": 0, "checkpoint_every": 0, "sample_every": 1,
    "trace_from": 0, "compile_from": 0,
}  # fmt: skip


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
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{name.replace('_', '-')} must be a whole number of at least {least}, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed must be a whole number of at least 0, got {self.seed!r}.")
        if self.blowup is not None and not (isinstance(self.blowup, int | float) and self.blowup > 0):
            raise UsageError(f"blowup must be a number above 0, or inf, got {self.blowup!r}.")
        if str(self.device).startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(
                f"device {self.device} was asked for, and torch {torch.__version__} finds no CUDA device here."
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"unknown dtype {self.dtype!r}: expected float32 or float64.")
        return self

    @property
    def sampling(self) -> int:
        """Steps between samples, and between evaluations of the game's metrics."""
        return max(1, self.steps // 10) if self.sample_every is None else self.sample_every

    def table(self, game: Game, regularizers: Sequence[Regularizer]) -> Prepared:
        """The game under its regularisers, made ready for play."""
        dtype = None if self.dtype is None else DTYPES[self.dtype]
        game, since = regularized(game, *regularizers), self.trace_from
        return Prepared(game, self.members, dtype, self.device, since is not None, since or 0)

    def facts(self) -> dict[str, object]:
        """As run.json holds them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
