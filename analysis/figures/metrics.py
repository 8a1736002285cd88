"""Figure: metrics, with a panel for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.card import Card
from ..drawing.curves import Curve, line, together
from ..drawing.groups import Group, groups
from ..drawing.names import Shown, heading, short, with_unit
from ..drawing.page import Drawing, Panel, empty
from ..drawing.scales import scale
from ..drawing.style import AGAINST, GREY, colour
from ..log.tables import coordinate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Metrics.",
    caption="Metrics: curves over the run; bars for the last evaluation of those with several values.",
    needs=("metrics/step",),
    wants="metrics of its game, which a run records with --sample-every N",
    options=("against", "each"),
)

MAX_PANELS = 40  # each takes a fifth of a second, and more would be too small to read


def drawing(logs: list[Shown], against: str = "step", each: bool = False) -> Drawing:
    """A metric of one number becomes a curve for each run; a metric of several numbers, bars of its last evaluation."""
    names = list(dict.fromkeys(key for log in logs for key in log if key.startswith("metrics/")))
    names.remove("metrics/step")
    names.sort(key=lambda key: max(log.variables[key].dims[1:] != () for log in logs if key in log))  # curves first
    left_out, names = len(names) - MAX_PANELS, names[:MAX_PANELS]
    runs = groups(logs, each)
    panels = [
        Panel(partial(_panel, runs, logs, key, against), (4.8, 3.0), "inside", key.partition("/")[2]) for key in names
    ]
    more = f" (and {left_out} more metrics)" if left_out > 0 else ""
    if not panels:
        panels = [Panel(lambda axes: empty(axes, "no metrics"), (4.8, 3.0), "none")]
    columns = len(panels) if len(panels) <= 3 else 3 if len(panels) % 3 == 0 else 2
    return Drawing(heading(logs, "Metrics") + more, panels, columns, shared_legend=len(logs) > 1)


def _panel(runs: Sequence[Group], logs: Sequence[Shown], key: str, against: str, axes: Axes) -> None:
    about = next(log.variables[key] for log in logs if key in log)
    own = [d for d in about.dims[1:] if d != "member"]
    if len(own) > 1:
        return empty(axes, f"{short(about.name)}: read it with log[{key!r}]")
    axes.set_ylabel(with_unit(short(about.long_name), about.units))
    if own:
        return _all_bars(axes, runs, key)
    seen = []
    for run in runs:
        holders = [log for log in run.logs if key in log]
        if not holders:
            continue
        curves = [_curve(log, key, against) for log in holders]
        x, y = together(curves) if len(curves) > 1 else curves[0]
        seen.append((run.failed, y))
        line(axes, x, y, run.index, run.label if len(logs) > 1 else short(about.long_name), run.of)
    kept = [y for failed, y in seen if not failed and np.isfinite(y).any()]
    scale(axes, kept or [y for _, y in seen], cut=0 < len(kept) < len(seen))
    axes.set_xlabel(AGAINST[against])
    measured = {log.variables[key].measured_by for log in logs if key in log} - {""}
    if measured:  # runs whose extractors or counts differ cannot be compared
        axes.set_title("by " + " or ".join(short(one, 50) for one in sorted(measured)), fontsize="small")


def _curve(log: Shown, key: str, against: str) -> Curve:
    values = log[key]
    seen = ~np.isnan(values).reshape(len(values), -1).all(axis=1)
    x = log["metrics/step"][seen]
    if against != "step":
        x = np.interp(x, log["step/step"], log[f"step/{against}"])
    return x, values[seen]


def _all_bars(axes: Axes, runs: Sequence[Group], key: str) -> None:
    """The last evaluation of each run; of seeds and members the median, and a line over the middle 80 %."""
    holders = [(run, [log for log in run.logs if key in log]) for run in runs]
    holders = [(run, logs) for run, logs in holders if logs]
    steps = dict[str, int]()
    for place, (run, logs) in enumerate(holders):
        found = [(log, *one) for log in logs if (one := _last_values(log, key)) is not None]
        steps |= {log.name: step for log, step, _ in found}
        if found and len({values.shape[1] for _, _, values in found}) == 1:
            _bars(axes, run, np.concatenate([values for *_, values in found]), place, len(holders))
    log = holders[0][1][0]
    dim = next(d for d in log.variables[key].dims[1:] if d != "member")
    names = coordinate(log, dim, log.shape(key)[log.variables[key].dims.index(dim)])
    if len(names) <= 20:
        axes.set_xticks(np.arange(len(names)), [short(str(n), 12) for n in names])
    axes.set_xlabel(short(dim.replace("_", " ")))
    if steps:
        axes.set_title(_when(steps))


def _last_values(log: Shown, key: str) -> tuple[int, np.ndarray] | None:
    """The step and the values (members, bars) of the last evaluation of a metric of several numbers."""
    about, values = log.variables[key], log[key]
    axis = about.dims.index(next(d for d in about.dims[1:] if d != "member"))
    values = np.moveaxis(values, axis, -1)
    values = values.reshape(len(values), -1, values.shape[-1])  # (rows, members, bars)
    seen = np.flatnonzero(~np.isnan(values).all(axis=(1, 2)))
    return (int(log["metrics/step"][seen[-1]]), values[seen[-1]]) if len(seen) else None


def _bars(axes: Axes, run: Group, values: np.ndarray, place: int, total: int) -> None:
    """Bars of ``values`` (runs, bars), at the ``place`` of ``total``."""
    width, hatch = 0.8 / total, ("", "//", "..", "xx", "\\\\", "++", "oo")[run.index % 7]
    at = np.arange(values.shape[1]) + (place - (total - 1) / 2) * width
    low, middle, high = np.nanpercentile(values, (10, 50, 90), axis=0)
    style: dict[str, Any] = {"color": colour(run.index), "hatch": hatch, "edgecolor": "white", "label": run.label}
    if len(values) > 1:
        style |= {"yerr": np.stack([middle - low, high - middle]), "error_kw": {"elinewidth": 1.0, "ecolor": GREY}}
    axes.bar(at, middle, width, **style)


def _when(steps: dict[str, int]) -> str:
    """The steps of the runs' last evaluations, in words."""
    first, last = min(steps.values()), max(steps.values())
    if first == last:
        return f"at step {first}"
    if len(steps) > 3:
        return f"at the last evaluation of each: steps {first} to {last}"
    return "\n".join(f"{short(name, 40)} at step {step}" for name, step in steps.items())
