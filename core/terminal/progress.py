"""The progress of a run: on a terminal a bar with losses and time left, elsewhere a line after each tenth of the steps.

It is called after every step with the losses as tensors. Their values are read only when something is shown, so that
the loop need not wait for a GPU. If the terminal is closed, the run goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

Progress = Callable[[int, int, Mapping[str, Any]], None]

_BAR_SECONDS, _CELL_SECONDS = 0.1, 0.5  # the shortest time between two changes of the bar, of a cell
_LINE_SECONDS = 10.0  # the shortest time between two lines about the same spectra
_PATIENCE = 1.0  # seconds of a run from Python before anything is shown


@contextlib.contextmanager
def shown(quiet: bool, what: str = "step", at_once: int = 1) -> Iterator[Progress | None]:
    """The progress display on the standard error: a bar on a terminal, else lines; None if ``quiet``.

    ``what`` is the word for what is counted, ``at_once`` how many of them are under way at the same time.
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _closing(_Bar(at_once=at_once)) as progress:
            yield progress
    else:
        yield _Lines(what, at_once)


@contextlib.contextmanager
def shown_to_python(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """The progress display of a run from Python: the user's own, or ours where it is wanted.

    By default, that is None, it is where somebody looks on, at a terminal or a notebook, and the run takes more than a
    second; never in tests, and of several processes in the first one only.
    """
    if progress is not None and not isinstance(progress, bool):
        yield progress
        return
    display = _display_of_notebook()
    watched = sys.stderr.isatty() or display is not None
    own = not _in_a_test() and os.environ.get("RANK", "0") == "0"
    if progress is False or (progress is None and not (watched and own)):
        yield None
    elif watched:
        with _closing(_Bar(_PATIENCE) if display is None else _Cell(display)) as ours:
            yield ours
    else:
        yield _Lines("step")


def _in_a_test() -> bool:
    return "PYTEST_CURRENT_TEST" in os.environ


def _display_of_notebook() -> Callable[..., Any] | None:
    """What shows something in the cell of a notebook; None where there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Callable[..., Any] = sys.modules["IPython.display"].display
    return display


def figures(losses: Mapping[str, Any]) -> str:
    """Losses as ``x 1.23  y -1.23``; in an ensemble the range over its members."""
    return "  ".join(f"{player} {_figure(loss)}" for player, loss in losses.items())


def _figure(loss: Any) -> str:
    values = loss.tolist() if hasattr(loss, "tolist") else loss
    if isinstance(values, (list, tuple)):
        return f"{min(values):.4g} to {max(values):.4g}" if values else "none"
    return f"{values:.4g}"


def _left(seconds: float, done: int, total: int, at_once: int) -> str:
    """The time left where ``done`` of ``total`` took ``seconds``, and those under way end with the last that has."""
    rounds = -(-done // at_once)
    return clock(seconds * max(-(-(total - rounds * at_once) // at_once), 0) / max(rounds, 1))


class _Lines:
    def __init__(self, what: str, at_once: int = 1) -> None:
        self.what, self.at_once, self.first, self.began, self.tenths = what, at_once, 0, 0.0, 0
        self.spectra_began = self.spectra_said = 0.0

    def __call__(self, step: int, steps: int, losses: Mapping[str, Any]) -> None:
        if not self.began:  # the time is taken from here, as the first step takes longer than the others
            self.first, self.began = step, time.monotonic()
        if step * 10 < (self.tenths + 1) * steps:
            return
        self.tenths = step * 10 // steps if steps else 10
        left = _left(time.monotonic() - self.began, step - self.first, steps - self.first, self.at_once)
        _say(f"{self.what} {step}/{steps}  {figures(losses)}  {left} left")

    def spectra(self, done: int, most: int) -> None:
        """Name the cost of spectra before the first product, then every few seconds how far they are."""
        now = time.monotonic()
        if done == 0:
            self.spectra_began = self.spectra_said = now
            _say(f"spectra: at most {most:,} products")
        elif now >= self.spectra_said + _LINE_SECONDS and done < most:
            self.spectra_said = now
            left = (now - self.spectra_began) * (most - done) / done
            _say(f"spectra: {done:,} of at most {most:,} products  at most {clock(left)} left")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


class _Bar:
    """A bar for the steps, and below it one for spectra while they are taken. It appears after ``patience`` seconds."""

    def __init__(self, patience: float = 0.0, at_once: int = 1) -> None:
        self.began, self.due, self.first, self.at_once = time.monotonic(), time.monotonic() + patience, -1, at_once
        self.bar: Any = None

    def _shown(self) -> Any:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.fields[losses]}"))
            last = TimeRemainingColumn(compact=True) if self.at_once == 1 else TextColumn("{task.fields[left]}")
            self.bar = Progress(*columns, last, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.steps = self.bar.add_task("", total=None, losses="", left="")
            self.products = self.bar.add_task("", total=None, losses="products for spectra", left="", visible=False)
        return self.bar

    def __call__(self, step: int, steps: int, losses: Mapping[str, Any]) -> None:
        self.first = step if self.first < 0 else self.first
        if self._is_due(step == steps and self.bar is not None):
            done, seconds = step - self.first, time.monotonic() - self.began
            left = _left(seconds, done, steps - self.first, self.at_once) if done else ""
            self._shown().update(self.steps, completed=step, total=steps, losses=figures(losses), left=left)

    def spectra(self, done: int, most: int) -> None:
        """Show how many of the products for spectra are taken."""
        if self._is_due(done in (0, most)):
            self._shown().update(self.products, completed=done, total=most, visible=done < most)

    def _is_due(self, at_once: bool) -> bool:
        due = (now := time.monotonic()) >= self.due or at_once
        self.due = now + _BAR_SECONDS if due else self.due
        return due

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            with contextlib.suppress(OSError):
                self.bar.stop()


class _Cell:
    """The line of a notebook's cell."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self.display, self.began, self.due = display, time.monotonic(), time.monotonic() + _PATIENCE
        self.handle: Any = None

    def __call__(self, step: int, steps: int, losses: Mapping[str, Any]) -> None:
        left = (time.monotonic() - self.began) * (steps - step) / max(step, 1)
        self._show(f"step {step}/{steps}  {figures(losses)}  {clock(left)} left")

    def spectra(self, done: int, most: int) -> None:
        """Show how many of the products for spectra are taken."""
        self._show(f"spectra: {done:,} of at most {most:,} products", done == 0)

    def _show(self, line: str, at_once: bool = False) -> None:
        if (now := time.monotonic()) < self.due and not at_once:
            return
        self.due = now + _CELL_SECONDS
        self._put(line)

    def _put(self, line: str) -> None:
        text = {"text/plain": line} if line else {"text/plain": "", "text/html": ""}  # HTML of nothing takes no room
        if self.handle is None:
            self.handle = self.display(text, raw=True, display_id=True)
        else:
            self.handle.update(text, raw=True)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.handle is not None:
            self._put("")


@contextlib.contextmanager
def _closing(display: Any) -> Iterator[Progress]:
    try:
        yield display
    finally:
        display.close()


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, 2:05, or as hours, 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
