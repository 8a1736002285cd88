"""What the command line, `plot` and the report must know of a figure, apart from how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..log.log import Log


@dataclass(frozen=True)
class Card:
    """The card of a figure. The name of the figure is the name of its file."""

    summary: str  # one sentence: what the figure shows
    caption: str  # stands below the figure in a report
    needs: tuple[str, ...]  # variables; the log must have rows of at least one of them
    wants: str = ""  # the same in words, for the message of a run that cannot be drawn
    options: tuple[str, ...] = ()  # of those of `plot.drawing`, the ones that the figure's `drawing` takes
    suits: Callable[[Log], bool] = lambda log: True  # asked only of logs that have what the figure needs
    several: bool = False  # a figure of several runs only

    def holds(self, log: Log, alone: bool = True) -> bool:
        """Return whether ``log`` has what the figure shows, ``alone`` or beside other logs."""
        if self.several and alone:
            return False
        return any(key in log and log.length(key.partition("/")[0]) for key in self.needs) and self.suits(log)
