"""Figures in your own matplotlib: `cp.plots.losses("runs/q")`, or on Axes that you have.

Each function takes one or several runs, as directories, log files, sweep directories or logs, and draws

- on ``ax``, an Axes, if the figure has one panel, or the ``panel`` of a figure with several: its number, row by row, or
  its name, as "F" of a spectrum;
- on ``axes``, a sequence or an array of as many Axes as the figure has panels;
- on a new pyplot figure if neither is given, ``width`` inches wide, by default as wide as your
  ``rcParams["figure.figsize"]``. It is as high as its panels need.

Your style is used as it is: the colours and the dashes of curves alone are ours. Returned is the Axes, or the array of
Axes of a figure with several panels. A new figure is saved with fonts of type 42, which publishers ask for; `save` does
so for any figure. Raises UsageError where a run has not recorded what the figure shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UsageError
from ..drawing import page
from ..drawing.style import FONTS, quiet
from ..optional import need
from . import plot as by_name
from .plot import Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def losses(
    runs: Runs, *, against: str = "step", each: bool = False, ax: Any = None, axes: Any = None,
    panel: int | str | None = None, width: float | None = None,
) -> Any:  # fmt: skip
    """Losses, and gradient norms in the panels below, ``against`` step, gradients, products, samples or seconds.

    Three or more seeds of one experiment are one curve, unless ``each``. Arguments and errors as in `plots`.
    """
    return _draw("losses", runs, ax, axes, panel, width, against=against, each=each)


def trajectory(
    runs: Runs, *, each: bool = False, ax: Any = None, axes: Any = None, panel: int | str | None = None,
    width: float | None = None,
) -> Any:  # fmt: skip
    """Paths of the parameters in a plane, or their norms where no plane was recorded. Arguments as in `plots`."""
    return _draw("trajectory", runs, ax, axes, panel, width, each=each)


def spectrum(
    runs: Runs, *, ascent: bool = False, step: int | None = None, ax: Any = None, axes: Any = None,
    panel: int | str | None = None, width: float | None = None,
) -> Any:  # fmt: skip
    """Eigenvalues of J (of −J for ``ascent``), of the players' blocks and of F'; with ``step`` those of one step.

    Panels are named J, blocks, F, and, of one run over its steps, J-steps, blocks-steps, F-steps. Arguments as in
    `plots`.
    """
    return _draw("spectrum", runs, ax, axes, panel, width, ascent=ascent, step=step)


def rate(runs: Runs, *, ax: Any = None, width: float | None = None) -> Any:
    """The measured rate of convergence beside that which ρ(F') predicts. Arguments as in `plots`."""
    return _draw("rate", runs, ax, None, None, width)


def stability(
    runs: Runs, *, ax: Any = None, axes: Any = None, panel: int | str | None = None, width: float | None = None
) -> Any:
    """Which step sizes of an ensemble converge. A panel for each run; arguments as in `plots`."""
    return _draw("stability", runs, ax, axes, panel, width)


def field(
    runs: Runs, *, ax: Any = None, axes: Any = None, panel: int | str | None = None, width: float | None = None
) -> Any:
    """The field of a game of two parameters, and the paths in it. A panel for each run; arguments as in `plots`."""
    return _draw("field", runs, ax, axes, panel, width)


def samples(
    runs: Runs, *, ax: Any = None, axes: Any = None, panel: int | str | None = None, width: float | None = None
) -> Any:
    """What the generator makes: of one run at several steps, of several runs at the end. Arguments as in `plots`."""
    return _draw("samples", runs, ax, axes, panel, width)


def metrics(
    runs: Runs, *, against: str = "step", each: bool = False, ax: Any = None, axes: Any = None,
    panel: int | str | None = None, width: float | None = None,
) -> Any:  # fmt: skip
    """Metrics, a panel for each. Arguments as in `losses`."""
    return _draw("metrics", runs, ax, axes, panel, width, against=against, each=each)


def heatmap(
    runs: Runs, *, x: str | None = None, y: str | None = None, value: str | None = None, ax: Any = None,
    width: float | None = None,
) -> Any:  # fmt: skip
    """A result of several runs or of a sweep over two settings, by default the first two in which they differ.

    ``value`` is a column of ``counterplay summary``, by default gradient_norm. Arguments and errors as in `plots`.
    """
    return _draw("heatmap", runs, ax, None, None, width, x=x, y=y, value=value)


def save(figure: Figure | Axes, path: str | Path) -> Path:
    """Write a figure, or the figure of an Axes, to ``path`` (.png, .pdf, .svg, …), with fonts of type 42.

    Raises UsageError for a type that matplotlib cannot write, StorageError if the file cannot be written.
    """
    found = figure.get_figure(root=True)
    if found is None:
        raise UsageError("These Axes are in no figure; give the figure.")
    return by_name.save(found, path)


def _draw(
    name: str, runs: Runs, ax: Any, axes: Any, panel: int | str | None, width: float | None, **options: Any
) -> Any:
    drawing = by_name.drawing(name, runs, **options)
    if panel is not None:
        drawing = page.chosen(drawing, panel)
    given = _given(name, ax, axes, drawing)
    with quiet():
        if given is None:
            pyplot = need("matplotlib.pyplot", "a figure")
            fig = pyplot.figure(FigureClass=_figure_class(), layout="constrained")
            page.compose(drawing, fig, fig.get_figwidth() if width is None else width)
            given = [axes for axes in fig.axes if axes.get_label() != "<colorbar>"]
        else:
            page.on_axes(drawing, given)
    return given[0] if len(given) == 1 else np.array(given, dtype=object)


def _given(name: str, ax: Any, axes: Any, drawing: page.Drawing) -> list[Any] | None:
    if ax is None and axes is None:
        return None
    if ax is not None and axes is not None:
        raise UsageError("Give ax or axes, not both.")
    flat = [ax] if axes is None else list(np.ravel(np.asarray(axes, dtype=object)))
    count, names = len(drawing.panels), [one.name for one in drawing.panels]
    which = ", ".join(map(repr, names)) if len({*names}) == count else f"0 to {count - 1}"
    if len(flat) != count:
        some = f"axes= with {count} Axes, or ax= and panel=, one of {which}" if count > 1 else "one Axes as ax="
        raise UsageError(f"The figure {name!r} of these runs has {count} panels and got {len(flat)} Axes: give {some}.")
    if not all(hasattr(one, "plot") and hasattr(one, "get_figure") for one in flat):
        raise UsageError("ax and axes take matplotlib Axes, as plt.subplots() returns them.")
    return flat


def _figure_class() -> type:
    """A matplotlib Figure that is saved with fonts of type 42."""

    class Published(need("matplotlib.figure", "a figure").Figure):  # type: ignore[misc]
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            with need("matplotlib", "a figure").rc_context(FONTS):
                super().savefig(*args, **kwargs)

    return Published


def __dir__() -> Iterable[str]:
    return [*by_name.FIGURES, "save"]
