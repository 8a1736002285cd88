"""The part of a report that compares runs: one table of what differs, and the figures of all runs together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ...core.experiments import intervals
from ..figures.plot import FIGURES, holds
from ..log.log import Log
from ..measures.run_table import BELOW, Row, columns_of, fastest, table_of_logs
from .report_page import escape, figure, grid
from .run_table_text import text

_LARGER_IS_BETTER = (
    "inception_score",
    "precision",
    "recall",
    "digit_score",
    "confidence",
    "good_samples",
    "modes_found",
)
_SMALLER_IS_BETTER = ("gradient_norm", "fid", "kid")
_MOST = 60  # rows of the table
_OVER_SEEDS = (
    "Over seeds: mean ± half of its 95 % interval (Student); of norms, which span decades, the geometric mean and its "
    "interval. A dash: not all seeds have the number. Shaded: the best, where its interval is apart from all others."
)


def comparison(logs: Sequence[Log], below: float = BELOW) -> Iterator[str]:
    """The table of what differs, who was first, and the figures that all runs have."""
    rows = table_of_logs(logs, below)
    groups = _groups(rows)
    costs = [cost for cost in ("step", "gradients", "products") if f"{cost}_to_{below:g}" in rows[0]]
    costs = [cost for cost in costs if any(row.get(f"{cost}_to_{below:g}") is not None for row in rows)]
    said = " ".join(filter(None, dict.fromkeys(fastest(rows, cost, below) for cost in costs)))
    bad = sum(row["status"] in ("diverged", "failed", "crashed", "unreadable") for row in rows)
    ended = f"{bad} of {len(rows)} runs diverged or failed. " if bad else ""
    if ended or said:
        yield f'<p class="status">{escape(ended + said)}</p>'
    yield '<nav><a href="#table">Table</a><a href="#figures">Figures</a><a href="#runs">Each run</a>'
    yield '<a href="#glossary">Glossary</a></nav>'
    if "samples" in FIGURES and all(holds(log, "samples") for log in logs) and len(logs) <= 20:
        yield figure("samples", logs, 1)
    yield '<h2 id="table">What differs</h2>'
    yield _table(rows, groups)
    yield '<h2 id="figures">Figures</h2>'
    for n, name in enumerate(("losses", "metrics")):
        if name in FIGURES and all(holds(log, name) for log in logs):
            yield figure(name, logs, n + 2)
    if "heatmap" in FIGURES and _is_grid(rows, len(groups)):
        yield figure("heatmap", logs, 4)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The runs that differ in nothing but the seed."""
    asked = _asked(rows)
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row.get(n)) for n in asked), []).append(row)
    return list(found.values())


def _asked(rows: Sequence[Row]) -> list[str]:
    """The columns that say what was asked, but for the seed."""
    names = columns_of(rows)
    return [n for n in names[: names.index("status")] if n not in ("run", "seed")]


def _is_grid(rows: Sequence[Row], count: int) -> bool:
    """Whether ``count`` experiments differ in two settings, and in both at once."""
    values = [{str(row.get(n)) for row in rows} for n in _asked(rows)]
    several = [len(one) for one in values if len(one) > 1]
    return len(several) == 2 and count >= sum(several)


def _table(rows: Sequence[Row], groups: Sequence[Sequence[Row]]) -> str:
    names = columns_of(rows)
    at = names.index("status")
    alone = all(len(own) == 1 for own in groups)
    asked = [n for n in names[:at] if n not in ("run", "seed") and len({str(r.get(n)) for r in rows}) > 1]
    results = [n for n in names[at + 1 :] if any(isinstance(r.get(n), int | float) for r in rows)]
    results = [
        n for n in results if len({str(r.get(n)) for r in rows}) > 1 and not n.startswith(("samples_to", "wall"))
    ]
    results.sort(key=lambda n: n.startswith("loss_"))  # of all numbers the ones that say least
    head = [*(["run"] if alone else []), *asked, *([] if alone else ["seeds"]), "ended", *results]
    values = {n: [_middle([r.get(n) for r in own], n, alone) for own in groups] for n in results}
    best = {n: _best(n, [span for span, _ in found]) for n, found in values.items()}
    lines = []
    for i, own in enumerate(groups[:_MOST]):
        line = [(str(own[0]["run"]), False)] if alone else []
        line += [(text(own[0].get(n)), False) for n in asked] + ([] if alone else [(str(len(own)), False)])
        line.append((_ended(own), False))
        lines.append([*line, *((values[n][i][1], best[n] == i) for n in results)])
    more = (
        f"<p>And {len(groups) - _MOST} more; counterplay summary -o FILE.csv has all.</p>"
        if len(groups) > _MOST
        else ""
    )
    note = "" if alone else f"<p>{_OVER_SEEDS}</p>"
    return grid([n.replace("_", " ") for n in head], lines) + more + note


def _ended(own: Sequence[Row]) -> str:
    states = [str(row["status"]).replace("_", " ") for row in own]
    if len(set(states)) == 1:
        return states[0]
    return ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))


Span = tuple[float, float, float]  # a mean over seeds, and its interval from low to high


def _middle(values: Sequence[object], name: str, alone: bool) -> tuple[Span | None, str]:
    """The mean over seeds with its interval, and both as text; (None, a dash) where one of them is missing.

    Of one seed beside several the interval is not known; where all are ``alone``, numbers are compared as they are.
    """
    numbers = [float(x) for x in values if isinstance(x, int | float)]
    if len(numbers) < len(values):
        return None, "–"
    if len(numbers) == 1:
        (x,) = numbers
        return (x, x, x) if alone else (x, -math.inf, math.inf), text(x)
    decades = name.endswith("norm") and min(numbers) > 0
    found = intervals.mean(np.log(numbers) if decades else np.asarray(numbers))
    mean = found.value
    half = found.high - found.value
    if decades:
        span = math.exp(mean), math.exp(mean - half), math.exp(mean + half)
        return span, f"{text(span[0])} [{text(span[1])}, {text(span[2])}]"
    return (mean, mean - half, mean + half), f"{text(mean)} ± {half:.2g}" if half else text(mean)


def _best(name: str, spans: Sequence[Span | None]) -> int | None:
    """The number of the best group, where it is known which way is better and its interval is apart from all others."""
    known = [(*span, i) for i, span in enumerate(spans) if span is not None]
    lower = name in _SMALLER_IS_BETTER or "_to_" in name
    if len(known) < 2 or not (lower or name in _LARGER_IS_BETTER):
        return None
    (_, low, high, best), *others = sorted(known, reverse=not lower)
    apart = all(high < one[1] if lower else low > one[2] for one in others)
    return best if apart else None
