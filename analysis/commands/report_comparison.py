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


def comparison(logs: Sequence[Log]) -> Iterator[str]:
    """The table of what differs, who was first, and the figures that all runs have."""
    rows = table_of_logs(logs)
    groups = _groups(rows)
    costs = [cost for cost in ("step", "gradients", "products") if f"{cost}_to_{BELOW:g}" in rows[0]]
    said = filter(None, dict.fromkeys(fastest(rows, cost, BELOW) for cost in costs))
    bad = sum(row["status"] in ("diverged", "failed", "crashed", "unreadable") for row in rows)
    ended = f"{bad} of {len(rows)} runs diverged or failed. " if bad else ""
    yield f'<p class="status">{escape(ended + " ".join(said))}</p>'
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


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The runs that differ in nothing but the seed."""
    names = columns_of(rows)
    asked = [n for n in names[: names.index("status")] if n not in ("run", "seed")]
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row.get(n)) for n in asked), []).append(row)
    return list(found.values())


def _table(rows: Sequence[Row], groups: Sequence[Sequence[Row]]) -> str:
    names = columns_of(rows)
    at = names.index("status")
    alone = all(len(own) == 1 for own in groups)
    asked = [n for n in names[:at] if n not in ("run", "seed") and len({str(r.get(n)) for r in rows}) > 1]
    results = [n for n in names[at + 1 :] if any(isinstance(r.get(n), int | float) for r in rows)]
    results = [
        n for n in results if len({str(r.get(n)) for r in rows}) > 1 and not n.startswith(("samples_to", "wall"))
    ]
    head = [*(["run"] if alone else []), *asked, *([] if alone else ["seeds"]), "ended", *results]
    values = {n: [_middle([r.get(n) for r in own], n) for own in groups] for n in results}
    best = {n: _best(n, [v[0] for v in found]) for n, found in values.items()}
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
    note = (
        "" if alone else "<p>Over seeds: mean ± half of its 95 % interval (Student); of norms, which span decades, the "
    )
    note += "" if alone else "geometric mean and its interval. A dash: not all seeds have the number. Best: shaded.</p>"
    return grid([n.replace("_", " ") for n in head], lines) + more + note


def _ended(own: Sequence[Row]) -> str:
    states = [str(row["status"]).replace("_", " ") for row in own]
    if len(set(states)) == 1:
        return states[0]
    return ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))


def _middle(values: Sequence[object], name: str) -> tuple[float | None, str]:
    """The mean over seeds, and it as text with its interval; (None, a dash) where one of them is missing."""
    numbers = [float(x) for x in values if isinstance(x, int | float)]
    if len(numbers) < len(values):
        return None, "–"
    if len(numbers) == 1:
        return numbers[0], text(numbers[0])
    decades = name.endswith("norm") and min(numbers) > 0
    x = np.log(numbers) if decades else np.asarray(numbers)
    found = intervals.mean(x)
    mean = found.value
    half = found.high - found.value
    if decades:
        return math.exp(mean), f"{text(math.exp(mean))} [{text(math.exp(mean - half))}, {text(math.exp(mean + half))}]"
    return mean, f"{text(mean)} ± {half:.2g}" if half else text(mean)


def _best(name: str, values: Sequence[float | None]) -> int | None:
    """The number of the best group, where it is known which way is better and not all are alike."""
    known = [(x, i) for i, x in enumerate(values) if x is not None]
    if len({x for x, _ in known}) < 2:
        return None
    if name in _SMALLER_IS_BETTER or "_to_" in name:
        return min(known)[1]
    return max(known)[1] if name in _LARGER_IS_BETTER else None
