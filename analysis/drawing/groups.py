"""Runs as curves: each by itself, or seeds of one experiment together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..settings import by_seed
from .differences import differences
from .names import LABEL, Shown, short

SEEDS = 3  # fewer seeds of one experiment are drawn each by itself


@dataclass(frozen=True)
class Group:
    """Runs that are drawn as one curve of the number ``index``; ``of`` names what a band is over."""

    logs: list[Shown]
    label: str
    index: int

    @property
    def failed(self) -> bool:
        """Whether more than half of the runs diverged, and with them the median."""
        return 2 * sum(log.failed for log in self.logs) > len(self.logs)

    @property
    def of(self) -> str:
        """What a band is over."""
        return "members" if len(self.logs) == 1 else "seeds"


def groups(logs: Sequence[Shown], each: bool = False) -> list[Group]:
    """The curves of ``logs``: at least three seeds of one experiment are one curve, unless ``each`` run is wanted."""
    found = by_seed([log.experiment for log in logs])
    if each or all(len(runs) < SEEDS for runs in found) or not all(log.experiment for log in logs):
        return [Group([log], log.label, i) for i, log in enumerate(logs)]
    differ = differences([logs[runs[0]].experiment for runs in found])
    out = list[Group]()
    for runs, own in zip(found, differ, strict=True):
        if len(runs) < SEEDS:
            out += [Group([logs[i]], logs[i].label, len(out) + n) for n, i in enumerate(runs)]
            continue
        words = [word for word in own if not word.startswith("seed=")]
        label = ", ".join(filter(None, (logs[runs[0]].what, *words, f"{len(runs)} seeds")))
        out.append(Group([logs[i] for i in runs], short(label, LABEL), len(out)))
    return out
