"""Draw a figure, by its name, from one or several runs, and save it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import StorageError, UsageError, did_you_mean
from ...core.storage.atomic import write_atomic
from ..drawing import page
from ..drawing.card import Card
from ..drawing.names import shown
from ..drawing.style import AGAINST, quiet, styled
from ..log.log import Log
from ..measures.found_runs import open_runs
from ..optional import need
from . import NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST, WIDEST = 2.0, 100.0  # inches
Runs = str | Path | Log | Sequence[str | Path | Log]
FIGURES: dict[str, Card] = {name: import_module(f".{name}", __package__).CARD for name in NAMES}


def holds(log: Log, figure: str) -> bool:
    """Return whether a log has what ``figure`` shows."""
    return FIGURES[figure].holds(log)


def require(log: Log, figure: str, alone: bool = True) -> None:
    """Raise UsageError unless ``log`` has what ``figure`` shows, ``alone`` or beside other logs."""
    if not FIGURES[figure].holds(log, alone):
        can = ", ".join(name for name in FIGURES if holds(log, name)) or "nothing yet"
        raise UsageError(
            f"{log.path} has no rows for the figure {figure!r}, which shows {FIGURES[figure].wants}; what it holds can "
            f"be drawn as {can}."
        )


def plot(
    figure: str, paths: Runs, *, width: float | None = None, panel: int | str | None = None, title: bool = True,
    **options: Any,
) -> Figure:  # fmt: skip
    """Draw ``figure`` from one or several runs and return the matplotlib Figure, to restyle or save.

    ``width`` is that of the figure, in inches; ``panel`` the number or the name of those drawn alone; ``title`` whether
    it has one; ``options`` are those of `drawing`. Raises UsageError for a figure that does not exist, or for which a
    run recorded nothing.
    """
    need("matplotlib", "a figure")
    if width is not None and not LEAST <= width <= WIDEST:
        raise UsageError(f"A figure cannot be {width:g} inches wide; choose from {LEAST:g} to {WIDEST:g}.")
    with styled():
        drawn = drawing(figure, paths, **options)
        drawn = drawn if panel is None else page.chosen(drawn, panel)
        return page.figure(drawn if title else page.untitled(drawn), width)


def drawing(
    figure: str, paths: Runs, *, against: str = "step", ascent: bool = False, each: bool = False,
    step: int | None = None, x: str | None = None, y: str | None = None, value: str | None = None,
) -> page.Drawing:  # fmt: skip
    """The panels of ``figure``, not yet drawn, of runs and sweeps.

    against      the horizontal axis of losses and metrics
    ascent       spectra are those of −J
    step         the step whose spectrum is shown alone, or the last one before it
    each         a curve for each run, also of seeds of one experiment
    x, y, value  the settings and the result of a heat map
    """
    if figure not in FIGURES:
        known = f"{did_you_mean(figure, FIGURES)} There are {', '.join(FIGURES)}."
        raise UsageError(f"There is no figure {figure!r}{known}")
    if against not in AGAINST:
        raise UsageError(
            f"Nothing can be drawn against {against!r}{did_you_mean(against, AGAINST)} Choose {', '.join(AGAINST)}."
        )
    given = [paths] if isinstance(paths, (str, Path, Log)) else list(paths)
    logs = open_runs(given)
    if against == "seconds":  # one clock for all logs
        against = "solver_seconds" if all("step/solver_seconds" in log for log in logs) else "wall_seconds"
    if not logs:
        raise UsageError(f"The figure {figure!r} needs at least one run; give its directory or log file.")
    for log in logs:
        require(log, figure, alone=len(logs) == 1)
        if against != "step" and f"step/{against}" not in log:
            raise UsageError(f"{log.path} did not record {against}; draw against step.")
    given_options = {"against": against, "ascent": ascent, "each": each, "step": step, "x": x, "y": y, "value": value}
    options = {name: given_options[name] for name in FIGURES[figure].options}
    make: Callable[..., page.Drawing] = import_module(f".{figure}", __package__).drawing
    with quiet():
        return make(shown(logs), **options)


def render(drawn: Figure, kind: str, dpi: int = 180) -> bytes:
    """Return a figure as the bytes of a file of type ``kind`` (png, pdf, svg, …)."""
    buffer = io.BytesIO()
    # Without a date in the file, the same log gives the same bytes.
    dates: dict[str, Any] = {"pdf": {"metadata": {"CreationDate": None}}, "svg": {"metadata": {"Date": None}}}
    with styled():
        drawn.savefig(buffer, format=kind, dpi=dpi, **dates.get(kind.removesuffix("z"), {}))
    return buffer.getvalue()


def save(drawn: Figure, path: str | Path) -> Path:
    """Write a figure to ``path``. The ending of the name says the type; PNG if it has none.

    Raises UsageError for a type that matplotlib cannot write here, StorageError if the file cannot be written.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise StorageError(f"{path} is a directory; name a file to write the figure to, as in {path / 'figure.png'}.")
    kind = path.suffix[1:].lower()
    if not kind:
        path, kind = path.with_name(f"{path.name}.png"), "png"
    if kind not in drawn.canvas.get_supported_filetypes():
        raise UsageError(f"No figure can be written as {path.name!r}: end the name in .png, .pdf or .svg.")
    try:
        data = render(drawn, kind)
    except Exception as error:  # some types need Pillow or TeX, which is found out only by writing
        why = " ".join(f"{error}".split())[:200].rstrip(".")
        raise UsageError(
            f"matplotlib cannot write {path.name!r} here: {why}. End the name in .png, .pdf or .svg."
        ) from error
    return write_atomic(path, data)
