"""The figures and the page of what ``counterplay reproduce`` found, from its results.json."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import BadLog, UsageError
from ...core.experiments.claim import NOT_RUN
from ...core.experiments.results import Results, counts, rows, with_interval
from ...core.storage.atomic import write_atomic
from ...core.storage.strict_json import loads
from ..figures.panels import draw
from ..figures.plot import render
from .report_page import document, escape

_HEAD = ("claim", "paper", "ours, with its 95 % interval", "verdict")


def found_in(folder: Path) -> dict[str, Any]:
    """The results in a folder. Raises UsageError where there are none, BadLog where they are damaged."""
    found = loads(folder / "results.json")
    if not found:
        raise UsageError(f"{folder} has no results.json: give the --out of counterplay reproduce.")
    if not isinstance(found.get("experiments"), list):
        raise BadLog(f"{folder / 'results.json'} does not hold what counterplay reproduce writes.")
    return found


def draw_figures(folder: Path) -> list[Path]:
    """Draw the figure of each experiment into ``figures`` and return the files."""
    written = []
    for one in found_in(folder)["experiments"]:
        if one["panels"]:
            path = folder / "figures" / f"{one['name']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(write_atomic(path, render(draw(one["panels"], f"{one['name']}: {one['summary']}"), "png")))
    return written


def write_page(folder: Path, target: Path) -> Path:
    """Write one HTML page with claims, verdicts, figures, settings, versions and costs."""
    return write_atomic(target, document("Published claims, played again", list(_page(folder))).encode())


def _page(folder: Path) -> Iterator[str]:
    found = found_in(folder)
    experiments: Sequence[Results] = found["experiments"]
    yield "<h1>Published claims, played again</h1>"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    seconds = sum(one["seconds"] or 0.0 for one in experiments)
    about = f"{counts(experiments)}. Scale {found['scale']}, on {found['device']}; {versions}. Runs: {seconds:,.0f} s."
    yield f'<p class="status">{escape(about)}</p>'
    yield _table(("experiment", *_HEAD), rows(experiments))
    for one in experiments:
        yield f"<h2>{escape(one['name'])}: {escape(one['summary'])}</h2><p>{escape(one['reference'])}</p>"
        for key, words in (("notes", ""), ("gives_up", "At quick scale: ")):
            if one[key] and (key == "notes" or found["scale"] == "quick"):
                yield f"<p>{escape(words + one[key])}</p>"
        yield _table(("claim", "quantity", *_HEAD[1:], "why this range"), _figures(one))
        if one["panels"]:
            picture = base64.b64encode(render(draw(one["panels"], one["summary"]), "png", dpi=130)).decode()
            yield f'<figure><img alt="{escape(one["summary"])}" src="data:image/png;base64,{picture}"></figure>'
        if one["runs"]:
            took = "" if one["seconds"] is None else f", {one['seconds']:,.0f} s"
            yield f"<details><summary>{len(one['runs'])} runs{took}</summary>"
            yield _table(("run", "settings"), [(name, _settings(run)) for name, run in one["runs"].items()])
            yield "</details>"


def _figures(experiment: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Each figure of each claim, one a row."""
    for claim in experiment["claims"]:
        for figure in claim["figures"]:
            ran = claim["verdict"] != NOT_RUN
            note = f" ({figure['ours_note']})" if figure.get("ours_note") else ""
            ours = with_interval(figure) + note if ran else "–"
            verdict = figure["verdict"] if ran else f"{NOT_RUN}: {claim['why']}"
            words = f"{claim['words']} ({claim['source']})"
            yield words, figure["quantity"], figure["paper"], ours, verdict, figure["why"]


def _settings(run: Mapping[str, Any]) -> str:
    return "; ".join(f"{key} {value}" for key, value in run.items() if value not in (None, [], ""))


def _table(head: Sequence[str], body: Any) -> str:
    titles = "".join(f"<th>{escape(text)}</th>" for text in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in body)
    return f'<table class="wide"><tr>{titles}</tr>{lines}</table>'
