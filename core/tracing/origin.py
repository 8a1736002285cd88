"""Where traced functions come from: what they may read, and how to call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import Stale
from .dependencies import Roots
from .guards import Impure, settled
from .program.optimize import Rewrite


@dataclass
class Clock:
    """The step at which a run is, whether anything was made to be replayed, and whether a replay is compared now."""

    step: int = 0
    replaying: bool = False
    comparing: bool = False


@dataclass
class Origin:
    """Where functions come from: what to look through for what they read, what to call it, and the clock of the run."""

    roots: Roots
    name: str = "a function"
    module: str = ""
    clock: Clock = field(default_factory=Clock)
    rewrite: Rewrite | None = None  # of programs, where it pays
    eager: str | None = None  # why nothing of it is replayed; "": it is; None: not known yet

    def pure(self, evaluate: Callable[[], Any]) -> bool:
        """Whether a replay can be told from the function, by ``evaluate()``, which is undone where it cannot."""
        if self.eager is None:
            try:
                with torch.random.fork_rng(devices=[]):
                    settled(self.roots, lambda: None, evaluate)
                self.eager = ""
            except Impure as error:
                self.eager = str(error)
        return not self.eager

    def stale(self, since: int) -> Stale:
        """What to say where a replay and its function have come apart since a step."""
        return Stale(
            f"{self.name} read something that has changed since step {since}, where they were traced or last compared: "
            f"what was computed from there to step {self.clock.step} cannot be trusted. Let the batch or the buffers "
            "hold what changes, or play it with trace=False and compile=False (--no-trace --no-compile).",
            self.module,
            since,
        )
