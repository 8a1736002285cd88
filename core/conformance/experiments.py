"""The checks of experiments: their claims, and that their runs can be made. None is played."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..errors import UserError
from ..experiments.claim import Claim
from ..experiments.experiment import Experiment
from ..registry.build import build
from ..registry.experiment import resolve
from ..registry.registry import make
from .assertions import Case, require


def experiments(name: Any) -> Iterator[Case]:
    """The checks of an experiment, given by name, as (label, function) pairs."""

    def claimed() -> None:
        claims = make("experiment", name).claims()
        require(claims and all(isinstance(c, Claim) for c in claims), "claims() gives no claims")
        twice = [n for n, k in Counter(c.name for c in claims).items() if k > 1]
        require(not twice, f"two claims are named {twice[:1]}")
        for c in claims:
            require(c.words.strip() and c.source.strip(), f"claim {c.name} lacks its words or where they stand")
            require(c.expected, f"claim {c.name} expects nothing of any quantity")
            for e in c.expected:
                require(e.paper.strip(), f"claim {c.name} does not say what the paper's figure of {e.quantity} is")
                require(e.low <= e.high, f"claim {c.name}: the range of {e.quantity} is from {e.low} to {e.high}")

    def playable() -> None:
        experiment: Experiment = make("experiment", name)
        if experiment.missing("cpu"):
            return
        for scale in ("quick", "paper"):
            known: list[str] = []
            for run, table in experiment.runs(scale).items():
                before = table.get("after")
                require(before is None or before in known, f"run {run} starts after {before!r}, which is not before it")
                known.append(run)
                try:
                    build(resolve({key: x for key, x in table.items() if key != "after"}))
                except UserError as error:
                    require(False, f"run {run} cannot be made: {error}")

    yield "claims say what the paper says", claimed
    yield "its runs can be made", playable
