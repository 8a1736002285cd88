"""The progress of a run: on a terminal a bar with losses and time left, elsewhere a line after each tenth of the steps.

It is called after every step with the losses as tensors. Their values are read only when something is shown, so that
the loop need not wait for a GPU. If the terminal is closed, the run goes on.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

Progress = Callable[[int, int, Mapping[str, Any]], None]

_BAR_SECONDS = 0.1  # the shortest time between two changes of the bar


@contextlib.contextmanager
def shown(quiet: bool, what: str = "step") -> Iterator[Progress | None]:
    """The progress display on the standard error: a bar on a terminal, else lines; None if ``quiet``.

    ``what`` is the word for what is counted.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines(what)


def figures(losses: Mapping[str, Any]) -> str:
    """Losses as ``x 1.23  y -1.23``; in an ensemble the range over its members."""
    return "  ".join(f"{player} {_figure(loss)}" for player, loss in losses.items())


def _figure(loss: Any) -> str:
    values = loss.tolist() if hasattr(loss, "tolist") else loss
    if isinstance(values, (list, tuple)):
        return f"{min(values):.4g} to {max(values):.4g}" if values else "none"
    return f"{values:.4g}"


def _lines(what: str) -> Progress:
    first, began = 0, 0.0
    tenths = 0

    def line(step: int, steps: int, losses: Mapping[str, Any]) -> None:
        nonlocal tenths, first, began
        if not began:  # the time is taken from here, as the first step takes longer than the others
            first, began = step, time.monotonic()
        if step * 10 < (tenths + 1) * steps:
            return
        tenths = step * 10 // steps if steps else 10
        left = (time.monotonic() - began) * (steps - step) / max(step - first, 1)
        with contextlib.suppress(OSError):
            click.echo(f"{what} {step}/{steps}  {figures(losses)}  {clock(left)} left", err=True)

    return line


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"))
    with Bar(*columns, TimeRemainingColumn(compact=True), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, losses="")
        due = 0.0

        def advance(step: int, steps: int, losses: Mapping[str, Any]) -> None:
            nonlocal due
            if (now := time.monotonic()) >= due or step == steps:
                due = now + _BAR_SECONDS
                with contextlib.suppress(OSError):
                    bar.update(task, completed=step, total=steps, losses=figures(losses))

        yield advance


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, 2:05, or as hours, 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
