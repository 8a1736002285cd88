"""What runs are called in titles and legends: by what they do not have in common."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence

import numpy as np

from ...core.errors import printable
from ...core.stability.step_sizes import name_of
from ..log.log import Log
from .differences import differences

LABEL = 60  # characters of a label


class Shown(Log):
    """A log as it is drawn: with a label, and NaN for numbers that are too large for the arithmetic of axes."""

    def __init__(self, log: Log, label: str, what: str = "") -> None:
        self.__dict__.update(log.__dict__)
        self.label = label
        self.what = what  # of game and solver, what differs between the runs
        self.rows: dict[str, int] = {}  # group -> how many rows are shown, where not all are

    def length(self, group: str) -> int:
        """As `Log.length`, of the rows that are shown."""
        return min(super().length(group), self.rows.get(group, sys.maxsize))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """As `Log.read`, without numbers that are too large."""
        values = super().read(key, start, stop)
        if values.dtype.kind not in "fc":
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            large = np.abs(values) > np.sqrt(np.finfo(values.dtype).max)
        return np.where(large, values.dtype.type(np.nan), values) if large.any() else values

    @property
    def failed(self) -> bool:
        """Whether the run as a whole diverged."""
        return self.status.get("state") == "diverged"


def shown(logs: Sequence[Log]) -> list[Shown]:
    """The logs with labels that tell them apart; a run that stands alone is labelled by its title."""
    logs = with_distinct_names(logs)
    if len(logs) == 1:
        return [Shown(logs[0], title(logs[0]))]
    differ = [len({part[i] for part in map(_parts, logs)}) > 1 for i in range(2)]
    out = []
    for log, asked in zip(logs, differences([log.experiment for log in logs]), strict=True):
        what = ", ".join(p for p, d in zip(_parts(log), differ, strict=True) if d and p)
        words = [what] if what else []
        for word in asked:  # as many as there is room for
            words += [word] if len(", ".join([*words, word])) + len(log.name) < LABEL - 2 else []
        said = ", ".join(words)
        label = f"{said} ({log.name})" if words and said != log.name and not log.settings else log.name
        out.append(Shown(log, short(label, LABEL), what))
    return out


def heading(logs: Sequence[Log], what: str) -> str:
    """The title of a figure of ``what``: that of the run, or what several runs have in common."""
    if len(logs) == 1:
        return title(logs[0])
    common = [one.pop() for one in map(set, zip(*map(_parts, logs), strict=True)) if len(one) == 1]
    return short(f"{what}: {', '.join([*filter(None, common), f'{len(logs)} runs'])}", 90)


def _parts(log: Log) -> tuple[str, str]:
    asked = log.experiment
    return name_of(asked.get("game")) or "", name_of(asked.get("solver")) or ""


def with_distinct_names(logs: Sequence[Log]) -> list[Log]:
    """Copies of the logs. If two have one name, as a/run and b/run do, all are named by their paths."""
    logs = [copy.copy(log) for log in logs]
    if len({log.name for log in logs}) < len(logs):
        for log in logs:
            log.name = str(log.path)
    return logs


def title(log: Log) -> str:
    """Return the name of a run for titles: game, solver and directory."""
    what = ", ".join(filter(None, _parts(log)))
    return short(f"{what} ({log.name})" if what else log.name, 60)


def short(text: str, length: int = 28) -> str:
    """Return ``text`` without unprintable characters, and without its middle if it is longer than ``length``."""
    text = cut(printable(text), length)
    return text.replace("$", r"\$")  # else matplotlib would read it as a formula


def cut(text: str, length: int) -> str:
    """Return ``text`` without its middle if it is longer than ``length``."""
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-(length - length // 2 - 1) :]}"


def with_unit(words: str, unit: str) -> str:
    """``words`` and the unit behind them, if there is one."""
    return words if unit in ("1", "") else f"{words} ({unit})"
