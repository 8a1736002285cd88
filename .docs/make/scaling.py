"""The figure and the tables of the page on scaling, from the newest record of ``tests/benchmarks/scaling.py``."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from . import kept

RECORD = kept.DOCS.parent / "tests" / "benchmarks" / "record.jsonl"
FOLDER = kept.GENERATED / "scaling"


def newest() -> dict[str, Any]:
    """The newest record: figures by name, and the machine, the date and the versions."""
    lines = [line for line in RECORD.read_text(encoding="utf-8").splitlines() if '"benchmark": "scaling"' in line]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def series(figures: dict[str, float]) -> dict[str, dict[str, dict[int, float]]]:
    """The points of each series, by what it shows against what, and by of what it is."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for name, value in figures.items():
        if " | " in name:
            head, _, x = name.rpartition(" | ")
            axes, _, what = head.partition(": ")
            found[axes][what][int(x)] = value
    return {axes: dict(own) for axes, own in found.items()}


def write() -> None:
    """Write the tables, and draw the figure, if there is a new record."""
    record = newest()
    key = kept.key(json.dumps(record))
    if kept.load(FOLDER / "key.json", key) is None:
        kept.write(FOLDER / "slopes.md", "\n".join(slopes(record)) + "\n")
        kept.write(FOLDER / "memory.md", "\n".join(memory(record["figures"])) + "\n")
        kept.write(FOLDER / "messages.md", "\n".join(messages(record["figures"])) + "\n")
        draw(series(record["figures"]))
        kept.keep(FOLDER / "key.json", key, True)


def slopes(record: dict[str, Any]) -> list[str]:
    """A row for each series: its slope, its largest point, and the ratio of these two."""
    lines = ["| | slope | largest point measured |", "|---|---|---|"]
    for axes, own in series(record["figures"]).items():
        quantity, _, other = axes.partition(", against ")
        what, unit = quantity.split(", ")
        for name, points in own.items():
            x, y = list(points.items())[-1]
            slope = record["figures"][f"slope of {axes}{': ' * bool(name)}{name}"]
            named = f"{what} against {other}" + f": {name}" * bool(name)
            lines.append(f"| {named} | {slope:.2f} | {y:,.4g} {unit} at {x:,} {other} |")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return [*lines, "", f"Measured on {record['date']} ({record['machine']}; {versions})."]


def memory(figures: dict[str, float]) -> list[str]:
    """A row for each method: the most memory that a step takes, in multiples of the parameters (of eight bytes)."""
    own = series(figures)["memory, MB, against parameters"]
    n = max(next(iter(own.values())))
    rows = [f"| {name} | {1e6 * points[n] / (8 * n):.1f} |" for name, points in own.items()]
    return [f"| {n:,} parameters, eager | multiples |", "|---|---|", *rows]


def messages(figures: dict[str, float]) -> list[str]:
    """A row for each solver: messages of a step and their bytes, where the batch is shared and where members are."""
    heads = ("messages", "bytes of messages / bytes of parameters")
    names = [name.partition(": ")[2] for name in figures if name.startswith(f"{heads[0]}, batch: ")]
    heading = "| solver | batch shared: messages | bytes | members shared: messages | bytes |"
    lines = [heading, "|---|---|---|---|---|"]
    for name in names:
        cells = (f"{figures[f'{head}, {how}: {name}']:.3g}" for how in ("batch", "members") for head in heads)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def draw(found: dict[str, dict[str, dict[int, float]]]) -> None:
    """A panel on log-log axes for each pair of quantities, beside a line of slope one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    panels: dict[str, dict[str, dict[int, float]]] = defaultdict(dict)
    for axes, own in found.items():
        quantity, _, other = axes.partition(", against ")
        what, unit = quantity.split(", ")
        together = f"{what}, {unit}|{other}" if other != "cells" else f"time, {unit}|cells"
        for name, points in own.items():
            panels[together][name or what] = points
    figure, places = pyplot.subplots(2, 4, figsize=(14, 6.4), layout="constrained")
    for place, (axes, own) in zip(places.flat, panels.items(), strict=False):
        for name, points in own.items():
            place.loglog([*points], [*points.values()], "o-", label=name)
        ends = sorted(x for points in own.values() for x in points)
        top = max(y for points in own.values() for y in points.values())
        place.loglog([ends[0], ends[-1]], [top * ends[0] / ends[-1], top], ":", color="gray", label="slope 1")
        quantity, _, other = axes.partition("|")
        place.set(xlabel=other, ylabel=quantity)
        place.legend(fontsize=7)
        for axis in (place.xaxis, place.yaxis):
            axis.set_minor_formatter(NullFormatter())
    for place in places.flat[len(panels) :]:
        place.set_axis_off()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / "slopes.png", dpi=110)
    pyplot.close(figure)
