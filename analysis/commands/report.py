"""A report on one or several runs as one HTML file, which includes its pictures and its style.

First the verdict and the samples, then the figures that decide; the rest is folded.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import StorageError
from ...core.log.schema import RUN_STATES
from ...core.storage.atomic import write_atomic
from ..drawing.names import title, with_distinct_names
from ..figures.plot import FIGURES, holds
from ..log.log import Log, open_log
from ..measures.run_table import BELOW
from .report_comparison import comparison
from .report_page import document, escape, facts, figure, folded
from .summary import rows, summarize

_ENDED_BADLY = ("diverged", "failed", "not_converged", "interrupted", "crashed")
_DECIDE = ("losses", "metrics", "spectrum", "rate", "trajectory")  # the first three that there are
_DETAILED = 12  # runs of a comparison that are shown one by one
_GLOSSARY = {
    "v": "What a step of plain descent subtracts: each player's gradient of its own loss.",
    "J": "∂v/∂θ, the Jacobian of v. The flow θ′ = −v is locally stable where every eigenvalue has Re λ > 0.",
    "F'": "The derivative of one step of the solver, its memory included.",
    "ρ(F')": "The largest |λ(F')|. Below 1 the solver comes nearer, by this factor a step; above 1 it leaves.",
    "ζ": "max |Im λ / Re λ| of J, how much the flow rotates: 0 for a minimum, ∞ for pure rotation.",
    "τ": "max |λ| / min |λ| of J, how differently fast the directions are.",
    "gradient norm": "‖v‖. At rest it is 0.",
}


def write_report(
    paths: Sequence[str | Path | Log], output: str | Path | None = None, unread: Mapping[str, Exception] | None = None,
    below: float = BELOW,
) -> Path:  # fmt: skip
    """Write the report and return its path: ``output``, or report.html beside the first log.

    ``unread`` are the runs that are left out, as they cannot be read, each with why; the report names them. Several
    runs race to a norm of v below ``below``.

    Raises UsageError or BadLog where a run cannot be read, StorageError where the report cannot be written.
    """
    logs = [p if isinstance(p, Log) else open_log(p) for p in paths]
    first = logs[0].path
    target = Path(output) if output else (first if first.is_dir() else first.parent) / "report.html"
    if os.path.isdir(target):
        raise StorageError(f"{target} is a directory; name a file to write the report to.")
    return write_atomic(target, html(logs, unread or {}, below).encode())


def html(logs: Sequence[Log], unread: Mapping[str, Exception] | None = None, below: float = BELOW) -> str:
    """Return the report on ``logs`` as HTML. All text from a log is escaped, as it may come from a stranger."""
    logs = with_distinct_names(logs)
    heading = title(logs[0]) if len(logs) == 1 else f"{len(logs)} runs compared"
    body = [f"<h1>{escape(heading)}</h1>"]
    body += [f'<p class="status bad">Left out: {escape(f"{name}: {why}")}</p>' for name, why in (unread or {}).items()]
    if len(logs) == 1:
        body += _run(logs[0])
    else:
        body += comparison(logs, below)
        body.append('<h2 id="runs">Each run</h2>')
        for n, log in enumerate(logs[:_DETAILED]):
            body.append(folded(title(log) if not log.settings else log.name, *_folded_run(log, 1000 * (n + 1))))
        if len(logs) > _DETAILED:
            body.append(f"<p>{len(logs) - _DETAILED} more runs are in the table only.</p>")
    body.append(_glossary())
    return document(heading, body)


def _run(log: Log) -> Iterator[str]:
    known = summarize(log)
    decide = [name for name in _DECIDE if name in FIGURES and holds(log, name)][:3]
    rest = [name for name in FIGURES if holds(log, name) and name not in (*decide, "samples")]
    yield _status(known)
    yield _contents(("figures", "Figures"), ("results", "Results"), ("details", "Details"), ("glossary", "Glossary"))
    if "samples" in FIGURES and holds(log, "samples"):
        yield figure("samples", [log], 0)
    yield '<h2 id="figures">Figures</h2>'
    yield from (figure(name, [log], n + 1) for n, name in enumerate(decide))
    yield '<h2 id="results">Results</h2>'
    yield facts(_results(known))
    yield '<h2 id="details">Details</h2>'
    for n, name in enumerate(rest):
        yield folded(FIGURES[name].summary, figure(name, [log], n + 20))
    yield from _details(log)


def _folded_run(log: Log, number: int) -> Iterator[str]:
    known = summarize(log)
    yield _status(known)
    if "samples" in FIGURES and holds(log, "samples"):
        yield figure("samples", [log], number)
    yield facts(_results(known))
    yield from _details(log)


def _results(known: dict[str, Any]) -> list[tuple[str, str]]:
    return [(k, v) for k, v in rows(known, 3).items() if k not in ("status", "message", "settings")]


def _details(log: Log) -> Iterator[str]:
    settings = dict(_flat(log.run))
    played = "settings."  # before what was played; what was asked for is the same but for defaults
    once = [(k, x) for k, x in settings.items() if not (k.startswith(played) and settings.get(k[len(played) :]) == x)]
    if once:
        yield folded("Settings", facts(once))
    if references := _references(log):
        yield folded("References", facts(references))
    if command := command_line(log):
        yield folded("Play it again", f"<pre>{escape(command)}</pre>")
    read = f'import counterplay as cp\nlog = cp.open_log({json.dumps(str(log.path))})\nlog["step/losses"]'
    yield folded("Read the numbers in Python", "<pre>" + "\n".join(map(escape, read.split("\n"))) + "</pre>")


def _contents(*places: tuple[str, str]) -> str:
    links = [f'<a href="#{at}">{words}</a>' for at, words in places]
    return f"<nav>{''.join(links)}</nav>"


def _glossary() -> str:
    words = "".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in _GLOSSARY.items())
    return f'<h2 id="glossary">Glossary</h2><dl>{words}</dl>'


def _status(known: Mapping[str, Any]) -> str:
    state = known["status"]
    if state is None:
        words = "A lone log file does not say how its run ended."
    else:
        words = RUN_STATES.get(state, f"Its state is {state!r}.")
    steps = f" {known['steps']:,} steps." if isinstance(known["steps"], int) else ""
    why = f" {known['message']}" if known["message"] else ""
    kind = (known["meaning"] or {}).get("kind") or {}
    point = f" The last point: {kind['words']}." if kind.get("words") else ""
    return f'<p class="{"status bad" if state in _ENDED_BADLY else "status"}">{escape(words + steps + why + point)}</p>'


def command_line(log: Log) -> str:
    """What to type to play the run again; "" where a program, and not a command, made its game."""
    argv = log.run.get("argv")
    if isinstance(argv, list) and argv[:1] == ["run"]:
        return shlex.join(["counterplay", *map(str, argv)])
    asked = log.experiment
    game, solver = asked.get("game"), asked.get("solver")
    if not (isinstance(game, Mapping) and isinstance(solver, Mapping) and "name" in game and "name" in solver):
        return ""
    if any("class" in one or any(isinstance(x, Mapping) for x in one.values()) for one in (game, solver)):
        return ""
    words = ["counterplay", "run", str(game["name"]), *_options("-g", game), "--solver", str(solver["name"])]
    words += _options("-s", solver)
    for key, value in asked.items():
        if key in ("steps", "seed", "members", "every", "until", "dtype") and value is not None:
            words += [f"--{key}", str(value)]
    return shlex.join(words)


def _options(flag: str, table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key != "name" and value is not None:
            yield from (flag, f"{key}={value if isinstance(value, str) else json.dumps(value)}")


def _references(log: Log) -> list[tuple[str, str]]:
    """The references that the run recorded; they are not taken from plugins, as reading a log imports none."""
    found = log.run.get("references")
    return [(str(k), str(v)) for k, v in found.items() if v] if isinstance(found, Mapping) else []


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, text) of every setting, without those that are empty."""
    for key, item in value.items():
        if key == "references" and not prefix:
            continue
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        elif item not in (None, [], ""):
            yield f"{prefix}{key}".removeprefix("experiment."), _words(item)


def _words(item: Any) -> str:
    """A setting as text: the items of a list one after another, tables in it by their values."""
    if isinstance(item, Mapping):
        return " ".join(map(_words, item.values()))
    if isinstance(item, list):
        return ("; " if any(isinstance(x, Mapping) for x in item) else " ").join(map(_words, item))
    return item if isinstance(item, str) else {True: "yes", False: "no"}[item] if isinstance(item, bool) else f"{item}"
