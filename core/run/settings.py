"""The settings of a run as they are recorded in run.json, so that the run can be resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from operator import index
from typing import Any

import numpy as np
import torch

from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer, regularized
from ..options import bounds_of, options_of
from ..seeding import SCHEME, SEEDS
from ..settings import Count, UserSettings, Whole
from .device import require_device
from .torch_switches import deterministic, precision

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, kw_only=True)
class Settings(UserSettings):
    """What the user asked for, and what was decided when the run began, so that a resumed run computes in the same way.

    ``trace_from`` is the step from which on traced programs are replayed, ``compile_from`` the step from which on
    compiled code takes many steps at once; None: never. ``ranks`` is the number of processes that share each batch,
    or with ``share_members`` the members of an ensemble. ``seeding`` says how members get their seeds
    (``core.seeding``); it is 1 in runs that do not record it.
    """

    ranks: Count = 1
    share_members: bool = False
    trace_from: Whole | None = None
    compile_from: Whole | None = None
    seeding: Count = 1

    @staticmethod
    def read(facts: Mapping[str, Any]) -> Settings:
        """The settings in run.json. Old ones say only whether the whole run was traced and compiled."""
        known = dict(facts)
        for old, new in (("trace", "trace_from"), ("compile", "compile_from")):
            if old in known:
                known[new] = 0 if known.pop(old) else None
        return Settings(**known)

    def checked(self) -> Settings:
        """These settings with whole numbers as ints. Raises UsageError for a setting that cannot be used."""
        whole: dict[str, Any] = {}
        for o in options_of(type(self)):
            given, (kind, least, most) = getattr(self, o.name), bounds_of(o.annotation)
            if kind is int and not (given is None is o.default):
                whole[o.name] = _whole(o.name, given, least, most or SEEDS - 1)
        if whole["seeding"] > SCHEME:
            raise UsageError(
                f"seeding {self.seeding!r:.80} is that of a newer version; {SCHEME} is the newest known here."
            )
        if self.blowup is not None and not (isinstance(self.blowup, Real) and self.blowup > 0):
            raise UsageError(f"blowup must be a number above 0, or inf, got {self.blowup!r}.")
        if self.device is not None:
            require_device(self.device)
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"unknown dtype {self.dtype!r}: expected float32 or float64.")
        for name in ("share_members", "deterministic", "tf32", "channels_last", "inexact_data"):
            if not isinstance(given := getattr(self, name), bool):
                raise UsageError(f"{name.replace('_', '-')} must be true or false, got {given!r:.80}.")
        if self.channels_last and self.members is not None:
            raise UsageError("channels-last is for single runs: in an ensemble members come first. Leave one out.")
        return replace(self, **whole, blowup=None if self.blowup is None else float(self.blowup))

    @property
    def sampling(self) -> int:
        """The number of steps between two records of samples and metrics."""
        return max(1, self.steps // 10) if self.sample_every is None else self.sample_every

    def evaluator(self, game: Game, regularizers: Sequence[Regularizer]) -> Evaluator:
        """The game under its regularisers, made ready for play."""
        dtype = None if self.dtype is None else DTYPES[self.dtype]
        game, since = regularized(game, *regularizers), self.trace_from
        return Evaluator(
            game, self.members, dtype, self.device, since is not None, since or 0, seeding=self.seeding,
            channels_last=self.channels_last,
        )  # fmt: skip

    @contextlib.contextmanager
    def switched(self) -> Iterator[None]:
        """A context for a run: without gradients, and with torch's switches as they are asked for."""
        with torch.no_grad(), precision(self.tf32), deterministic(self.deterministic):
            yield

    def facts(self) -> dict[str, object]:
        """The settings as they are written in run.json."""
        return asdict(self)


def _whole(name: str, value: Any, least: int, most: int) -> int:
    """``value`` as an int, also from numpy's integers. Raises UsageError if it is none, or not within its bounds."""
    try:
        if not isinstance(value, bool | np.bool_) and least <= index(value) <= most:
            return index(value)
    except TypeError:
        pass
    large = isinstance(value, int) and value > most
    wanted = f"from {least} to 2^{most.bit_length()} - 1" if large else f"of at least {least}"
    raise UsageError(f"{name.replace('_', '-')} must be a whole number {wanted}, got {value!r:.80}.")
