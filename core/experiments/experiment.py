"""What an experiment is: runs as plain data, what is measured on their logs, and what a paper says of it.

An experiment plays one or more claims of a paper. Its runs are tables such as ``counterplay run --config`` reads: game,
solver and settings by name. What is no run at all, such as a lemma on random matrices, is computed by `compute`, whose
result is kept. Everything that an experiment says of itself stands in its class, and options are its fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from .claim import Claim, Measured
from .panel import Panel

Scale = Literal["quick", "paper"]
Logs = Mapping[str, Mapping[str, np.ndarray]]  # of each run, "group/variable" -> array
Computed = Mapping[str, Any]  # what TOML and JSON can hold: numbers, texts, lists, tables


@dataclass(frozen=True)
class Experiment(ABC):
    """A published experiment, at the scale "quick" (minutes on two cores) or "paper" (the paper's own settings).

    needs     what it needs besides the machine at hand, in words: "the data set mnist", "a GPU"
    files     what the folder holds that its option ``root`` names; it then has the scale "paper" only
    gives_up  what the scale "quick" leaves out, in a sentence; "" if nothing
    notes     where paper and code differ, what the paper leaves open, and what was chosen here
    """

    needs: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[str] = ""
    gives_up: ClassVar[str] = ""
    notes: ClassVar[str] = ""

    @abstractmethod
    def claims(self) -> Sequence[Claim]:
        """What the paper says."""

    def missing(self, device: str) -> str:
        """Why it cannot be played on this machine, in a sentence; "" if it can."""
        if self.files and not getattr(self, "root", ""):
            needs = " and ".join(self.needs)
            return (
                f"it needs {needs}: where they are, give --scale paper --device cuda -o root=FOLDER with {self.files}."
            )
        if "a GPU" in self.needs and not device.startswith("cuda"):
            return "it needs a GPU: give --device cuda where there is one."
        return ""

    def runs(self, scale: Scale) -> Mapping[str, Mapping[str, Any]]:
        """The runs by name, each a table of an experiment's file. ``after`` names another run, which it starts from."""
        return {}

    def compute(self, scale: Scale) -> Computed:
        """What needs no run. It must not depend on anything but the code and the options of the experiment."""
        return {}

    @abstractmethod
    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        """The quantities that the claims name, from the logs of all runs and what was computed."""

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        """The paper's figure with our data."""
        return ()
