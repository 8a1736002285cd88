"""What traced functions of one game share: the objects that they may read, a name for messages, the run's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import Stale
from .dependencies import Roots
from .guards import Impure, require_pure
from .program.optimize import Rewrite


@dataclass
class ReplayState:
    """The current step of a run, whether it has replayed anything, and whether replays are to be compared now."""

    step: int = 0
    replaying: bool = False
    comparing: bool = False


@dataclass
class TraceContext:
    """What traced functions share: ``roots`` of all that they read, a name and module for messages, the run's state."""

    roots: Roots
    name: str = "a function"
    module: str = ""
    replay: ReplayState = field(default_factory=ReplayState)
    rewrite: Rewrite | None = None  # an optional rewrite of programs, used where it saves work
    why_no_graph: str = ""  # why a program is not replayed as a CUDA graph, where it should have been
    why_eager: str | None = None  # why its functions are not replayed; "" if they are; None if not known yet
    why_some_eager: str = ""  # why some calls are not replayed, where others are

    def pure(self, evaluate: Callable[[], Any]) -> bool:
        """Whether its functions may be replayed: all that they read can be watched, and they do not change it.

        ``evaluate()`` calls them to find out; if it changes what they read, the change is undone.
        """
        if self.why_eager is None:
            try:
                with torch.random.fork_rng(devices=[]):
                    require_pure(self.roots, lambda: None, evaluate)
                self.why_eager = ""
            except Impure as error:
                self.why_eager = str(error)
        return not self.why_eager

    def report(self, why: str) -> None:
        """Remember the first reason why a program is not replayed as a CUDA graph."""
        self.why_no_graph = self.why_no_graph or why

    @property
    def words(self) -> str:
        """What is not replayed, and why, in sentences; "" if nothing is to be said."""
        eager = f"Losses are not replayed: {self.why_eager}. " if self.why_eager else ""
        some = f"Some losses are not replayed: {self.why_some_eager}. " if self.why_some_eager else ""
        graphs = f"Replayed, but not as CUDA graphs: {self.why_no_graph}." if self.why_no_graph else ""
        return (eager + some + graphs).strip()

    def stale(self, since: int) -> Stale:
        """The error for a replay that no longer agrees with its function; it did agree at step ``since``."""
        return Stale(
            f"{self.name} read something that has changed since step {since}, where they were traced or last compared: "
            f"what was computed from there to step {self.replay.step} cannot be trusted. Let the batch or the buffers "
            "hold what changes, or play it with trace=False and compile=False (--no-trace --no-compile).",
            self.module,
            since,
        )
