"""What a sweep would cost, found by trying a few steps of some of its cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from ..registry.build import name_of
from ..registry.experiment import Table
from .cell import Cell

Cost = tuple[float, float] | str  # the seconds of a start and of a step; or why there is no step
_MOST_SECONDS = 20.0  # spent on trying cells; what was not tried until then is not known


def costs(cells: Sequence[Cell], try_steps: Callable[[Table], Cost]) -> Iterator[tuple[Cell, float | str]]:
    """Each cell with the seconds that its run takes at most, or with why that is not known, in words.

    Of cells that differ only in the options of their solver and in seeds one is tried, as most such options do not
    change what a step costs. ``try_steps(experiment)`` finds what one does without traced and compiled steps.
    """
    began, known = time.monotonic(), dict[str, Cost]()
    for cell in cells:
        key = _kind(cell)
        if key not in known and time.monotonic() - began < _MOST_SECONDS:
            known[key] = try_steps(cell.experiment)
        found = known.get(key, f"not tried, as the cells before took {_MOST_SECONDS:.0f} seconds to try")
        yield cell, found if isinstance(found, str) else found[0] + found[1] * cell.experiment["steps"]


def _kind(cell: Cell) -> str:
    """What a cell has in common with others that take as long for a step."""
    e = cell.experiment
    names = [name_of(x) for x in (e["solver"], *e["regularizers"])]
    return repr([e["game"], names, *(e.get(k) for k in ("members", "device", "dtype", "sample_every"))])
