"""The results of an experiment as plain data, which results.json holds, and the rows of the table made of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .claim import NOT_RUN, VERDICTS, Expected, Measured
from .experiment import Computed, Experiment, Logs

Results = dict[str, Any]
WIDTH = 110  # of what an experiment says of itself
SHOWN = 3  # figures of one claim that a row of the table shows


def results(name: str, experiment: Experiment, logs: Logs, computed: Computed) -> Results:
    """What was found: each claim with its verdict and numbers, the panels of its figure, what was asked of it."""
    found = experiment.measure(logs, computed)
    claims = [
        _about(claim) | {
            "verdict": claim.verdict(found), "why": _why(claim.expected, found),
            "figures": [_figure(e, found.get(e.quantity)) for e in claim.expected],
        }
        for claim in experiment.claims()
    ]  # fmt: skip
    panels = [asdict(panel) for panel in experiment.panels(logs, computed)]
    return _card(name, experiment) | {"claims": claims, "panels": panels}


def not_run(name: str, experiment: Experiment, why: str) -> Results:
    """The same for an experiment that was not played, and the sentence that says why."""
    claims = [
        _about(claim) | {"verdict": NOT_RUN, "why": why, "figures": [_figure(e, None) for e in claim.expected]}
        for claim in experiment.claims()
    ]
    return _card(name, experiment) | {"claims": claims, "panels": []}


def card(experiment: Experiment) -> list[str]:
    """What an experiment says of itself, in lines: its claims with the paper's figures, and its notes."""
    lines = ["claims"]
    for claim in experiment.claims():
        paper = _joined([e.paper for e in claim.expected])
        lines += [f"  {claim.name}: {claim.words} ({claim.source})", f"      paper: {paper}"]
    about = (("needs", ", ".join(experiment.needs)), ("quick scale", experiment.gives_up), ("notes", experiment.notes))
    lines += [f"{label}: {text}" for label, text in about if text]
    return [textwrap.fill(line, WIDTH, subsequent_indent="      ") for line in lines]


def _card(name: str, experiment: Experiment) -> Results:
    return {"name": name, "notes": experiment.notes, "gives_up": experiment.gives_up, "needs": list(experiment.needs)}


def _about(claim: Any) -> Results:
    return {"claim": claim.name, "words": claim.words, "source": claim.source}


def _figure(expected: Expected, found: Measured | None) -> Results:
    number = {} if found is None else asdict(found)
    return {**asdict(expected), **{f"ours_{key}": x for key, x in number.items()}, "verdict": expected.verdict(found)}


def _why(expected: Sequence[Expected], found: Mapping[str, Measured]) -> str:
    """Why numbers are missing, if some are."""
    missing = (found[e.quantity].note for e in expected if e.quantity in found and math.isnan(found[e.quantity].value))
    return "; ".join(dict.fromkeys(filter(None, missing)))


def number(x: float | None) -> str:
    """A number in a table."""
    return "unknown" if x is None or math.isnan(x) else f"{x:.5g}"


def with_interval(figure: Mapping[str, Any]) -> str:
    """What was measured, with its interval unless this is a point."""
    value, low, high = (figure.get(f"ours_{key}") for key in ("value", "low", "high"))
    text = number(value)
    wide = value is not None and low is not None and high is not None and high - low > 1e-9 * max(1.0, abs(value))
    return f"{text} [{number(low)}, {number(high)}]" if wide else text


def rows(found: Iterable[Results]) -> list[tuple[str, str, str, str, str]]:
    """Of each claim: experiment, claim with its source, the paper's figure, ours with its interval, the verdict."""
    table = []
    for experiment in found:
        for claim in experiment["claims"]:
            ran = claim["verdict"] != NOT_RUN
            paper = _joined([f["paper"] for f in claim["figures"]])
            ours = _joined([with_interval(f) for f in claim["figures"]]) if ran else "–"
            verdict = claim["verdict"] + (f": {claim['why']}" if claim["why"] else "")
            table.append((experiment["name"], f"{claim['words']} ({claim['source']})", paper, ours, verdict))
    return table


def _joined(texts: Sequence[str]) -> str:
    more = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def counts(found: Iterable[Results]) -> str:
    """How many claims have which verdict: "21 agree" as "agrees 21"."""
    verdicts = [claim["verdict"] for experiment in found for claim in experiment["claims"]]
    return ", ".join(f"{v} {verdicts.count(v)}" for v in VERDICTS if v in verdicts)
