"""Panels on a page: a figure is a list of panels, each of which is drawn on any matplotlib Axes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...core.errors import UsageError, did_you_mean
from ..optional import need
from .curves import KEY
from .names import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = Literal["inside", "below", "none"]
PAGE = 12.5  # inches: no figure is wider unless it is asked for
LEAST = 2.7  # inches: a panel of a figure of given width is no narrower if it stands beside another
LOW = 1.3  # inches: no panel is made lower
TALL = 2.2  # times its width: a figure is no higher if fewer or lower panels can help
NAMED = 40  # most entries of a legend


@dataclass(frozen=True)
class Panel:
    """One panel: ``draw`` draws it on Axes that are given. ``size`` in inches is what it looks best at.

    ``legend`` is its place on Axes of the user's. On a page it stands below the panel, where it hides nothing.
    """

    draw: Callable[[Axes], None]
    size: tuple[float, float] = (4.6, 3.0)
    legend: Place = "below"
    name: str = ""  # by which it can be chosen


@dataclass(frozen=True)
class Drawing:
    """What a figure shows: panels in rows of ``columns``, a title; whether they share legend and horizontal axis.

    ``brief`` is what is drawn in its place where it would be higher than a page.
    """

    title: str
    panels: Sequence[Panel]
    columns: int = 1
    shared_legend: bool = False
    shared_x: bool = False
    brief: Drawing | None = None
    least: float = LEAST  # inches


def chosen(drawing: Drawing, panel: int | str) -> Drawing:
    """The panel of ``drawing`` with that number, or those with that name. Raises UsageError if there is none."""
    panels, names = drawing.panels, list(dict.fromkeys(one.name for one in drawing.panels if one.name))
    if isinstance(panel, str) and panel.isdecimal():
        panel = int(panel)
    if isinstance(panel, int) and 0 <= panel < len(panels):
        found = [panels[panel]]
    else:
        found = [one for one in panels if panel in (one.name, one.name.partition(" of ")[0]) and panel]
    if not found:
        meant = did_you_mean(panel, names) if isinstance(panel, str) else "."
        named = f" By name there are {', '.join(names)}." if names else ""
        raise UsageError(
            f"The figure of these runs has panels 0 to {len(panels) - 1}, and no panel {panel!r}{meant}{named}"
        )
    return replace(drawing, panels=found, columns=min(len(found), 3), shared_x=False, brief=None)


def untitled(drawing: Drawing) -> Drawing:
    """``drawing`` without its title."""
    return replace(drawing, title="", brief=drawing.brief and untitled(drawing.brief))


def figure(drawing: Drawing, width: float | None = None) -> Figure:
    """Draw on a new figure, ``width`` inches wide. It does without pyplot's state."""
    return compose(drawing, need("matplotlib.figure", "a figure").Figure(layout="constrained"), width)


def compose(drawing: Drawing, fig: Figure, width: float | None = None) -> Figure:
    """Draw on an empty figure. Its height grows with its panels and its legends.

    A figure that would be more than TALL times as high as it is wide is drawn in brief, or with lower panels.
    """
    wide, high = (max(panel.size[i] for panel in drawing.panels) for i in (0, 1))
    count = len(drawing.panels)
    columns = min(drawing.columns, count, max(1, int(PAGE / wide) if width is None else int(width / drawing.least)))
    width = columns * wide if width is None else width
    high *= min(1.0, max(width / columns / wide, 0.62))
    rows = -(-count // columns)
    fig.set_size_inches(width, rows * high)
    grid = fig.add_gridspec(rows, _unit(count, columns))
    cells: list[Axes] = []
    for i, panel in enumerate(drawing.panels):
        row, column = divmod(i, columns)
        across = columns if row < rows - 1 or not count % columns else count % columns  # the last row is filled
        span = _unit(count, columns) // across
        above = cells[i - columns] if drawing.shared_x and row else None
        axes = fig.add_subplot(grid[row, column * span : (column + 1) * span], sharex=above)
        cells.append(axes)
        panel.draw(axes)
    if drawing.shared_x:
        for axes in cells[: len(cells) - columns]:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
    _titles(drawing, fig, width, columns)
    _wrap(fig.axes, "x", *(_across(axes, width / columns) for axes in fig.axes))
    more = _legends(drawing, fig, cells, width / columns)
    over = rows * high + more - TALL * width
    if over > 0 and drawing.brief:
        fig.clear()
        return compose(drawing.brief, fig, width)
    high = max(min(high, LOW), high - max(over, 0.0) / rows)
    _wrap(fig.axes, "y", *[high - 0.8 / (rows if drawing.shared_x else 1)] * len(fig.axes))
    fig.set_size_inches(width, rows * high + more)
    if (layout := fig.get_layout_engine()) and any(axes.get_aspect() != "auto" for axes in cells):
        for _ in range(2):  # the room for square axes is found step by step, and one drawing takes one step
            layout.execute(fig)
    return fig


def _across(axes: Axes, width: float) -> float:
    """How wide axes may be in a panel that is ``width`` inches wide: there are numbers and a label beside them."""
    return width - (0.75 if axes.get_ylabel() else 0.2)


def _wrap(several: Sequence[Axes], which: Literal["x", "y"], *inches: float) -> None:
    """Break the labels of axes, so that none is longer than its axis is thought to be."""
    for axes, long in zip(several, inches, strict=True):
        label = getattr(axes, f"{which}axis").label
        label.set_text(_wrapped(label.get_text(), int(long * 72 / (0.54 * _points("font.size")))))


def _unit(count: int, columns: int) -> int:
    """Columns of a grid whose rows can be divided by ``columns`` and, in the last one, by what is left."""
    return int(np.lcm(columns, count % columns or columns))


def on_axes(drawing: Drawing, given: Sequence[Axes]) -> None:
    """Draw each panel on one of the ``given`` Axes, with legends in or below them."""
    for panel, axes in zip(drawing.panels, given, strict=True):
        panel.draw(axes)
        if panel.legend != "none":
            fig = axes.get_figure(root=True)
            wide = axes.get_position().width * (fig.get_figwidth() if fig else 5.0)
            below = panel.legend == "below" or (drawing.shared_legend and len(_entries(axes)) > 8)
            _legend(axes, wide, below)


def _titles(drawing: Drawing, fig: Figure, width: float, columns: int) -> None:
    size = _points("axes.titlesize")
    room = int((width - 0.3) * 72 / (0.56 * size))
    if len(drawing.panels) == 1 and not fig.axes[0].get_title():
        fig.axes[0].set_title(drawing.title)
    elif drawing.title:
        fig.suptitle(_wrapped(drawing.title, room), fontsize=size * 1.05)
    for axes in fig.axes:
        if axes.get_title():
            axes.title.set_text(_wrapped(axes.get_title(), int(_across(axes, width / columns) * 72 / (0.54 * size))))


def _wrapped(text: str, room: int) -> str:
    wrap = textwrap.TextWrapper(max(room, 16), break_on_hyphens=False).wrap  # names of runs have hyphens
    return "\n".join(line for part in text.split("\n") for line in wrap(part) or [""])


def _points(key: Literal["axes.titlesize", "legend.fontsize", "font.size"]) -> float:
    """A size of type in points: that of the user's style, or of ours within `styled`."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=rcParams[key]).get_size_in_points())


def _entries(axes: Axes) -> dict[str, Any]:
    """label -> handle of what a panel shows, each label once; what the lines mean comes after what they are."""
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    return dict(sorted(named.items(), key=lambda item: _explains(item[1])))


def _explains(handle: Any) -> bool:
    return bool(getattr(handle, "get_gid", lambda: None)() == KEY)


def _legends(drawing: Drawing, fig: Figure, cells: Sequence[Axes], width: float) -> float:
    """Put the legends where they belong, and return the inches by which the figure must grow."""
    if drawing.shared_legend:
        named: dict[str, Any] = {}
        for axes in cells:
            named = named | {k: v for k, v in _entries(axes).items() if k not in named}
        named = dict(sorted(named.items(), key=lambda item: _explains(item[1])))
        if len(named) < 2:
            return 0.0
        columns, labels, inches = _arranged(list(named), fig.get_figwidth())
        fig.legend(list(named.values())[: len(labels)], labels, loc="outside lower center", ncols=columns)
        return inches
    grow = [0.0]
    for panel, axes in zip(drawing.panels, cells, strict=True):
        if panel.legend != "none":
            grow.append(_legend(axes, width, True, fig))
    return max(grow) * -(-len(cells) // max(1, round(fig.get_figwidth() / width)))


def _legend(axes: Axes, width: float, below: bool, page: Figure | None = None) -> float:
    """The legend of one panel, which may be ``width`` inches wide; the inches that it takes below the panel.

    On a ``page`` it stands in the middle of the panel with its labels, else in that of the axes.
    """
    named = _entries(axes)
    if len(named) < 2:
        return 0.0
    title = getattr(axes, "_legend_title", None)
    if not below:
        axes.legend(named.values(), named.keys(), loc="best", title=title)
        return 0.0
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    columns, labels, inches = _arranged(list(named), width)
    fig, cell, middle = axes.get_figure(root=True), axes.get_subplotspec(), 0.5
    place: Any = axes.transAxes
    if page and cell:
        middle = (cell.colspan.start + cell.colspan.stop) / 2 / cell.get_gridspec().ncols
        place = blended_transform_factory(page.transFigure, axes.transAxes)
    lines = 2.3 + 1.25 * (axes.get_xlabel().count("\n") + 1)  # the numbers of the axis, its label
    if fig:
        place += ScaledTranslation(0, -lines * _points("font.size") / 72, fig.dpi_scale_trans)
    axes.legend(
        list(named.values())[: len(labels)], labels, loc="upper center", bbox_to_anchor=(middle, 0.0), ncols=columns,
        bbox_transform=place, borderaxespad=0.0, columnspacing=1.0, handletextpad=0.5, title=title,
    )  # fmt: skip
    return inches


def _arranged(labels: list[str], width: float) -> tuple[int, list[str], float]:
    """In how many columns the labels of a legend fit ``width`` inches, the labels as short as needed, its height."""
    size = _points("legend.fontsize")
    if len(labels) > NAMED:
        labels = [*labels[: NAMED - 1], f"and {len(labels) - NAMED + 1} more"]
    room = max(int((width * 72 / size - 4.5) / 0.56), 8)
    labels = [_wrapped(cut(label, 2 * room - 8), room) for label in labels]  # two lines: breaks cost up to a word
    each = (max(map(len, "\n".join(labels).split("\n"))) * 0.56 + 4.5) * size / 72
    columns = max(1, min(int(width / each), len(labels), 6))
    rows = -(-len(labels) // columns)
    return columns, labels, (rows * 1.52 + "".join(labels).count("\n") * 1.2 + 1.0) * size / 72


def empty(axes: Axes, text: str) -> None:
    """Show only ``text`` in a panel, which says why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, _wrapped(text, 40), ha="center", va="center", transform=axes.transAxes, alpha=0.7)
