"""A report on one or several runs as one HTML file, which includes its pictures and its style."""

from __future__ import annotations

import base64
import html as markup
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import StorageError, printable
from ...core.log.schema import RUN_STATES
from ...core.storage.atomic import write_atomic
from ..drawing.names import title, with_distinct_names
from ..figures.plot import FIGURES, holds, plot, render
from ..log.log import Log, open_log
from .summary import rows, summarize

_STYLE = """
body { font: 16px/1.5 Georgia, 'Times New Roman', serif; color: #1a1a1a; max-width: 60rem; margin: 2.5rem auto;
  padding: 0 1.25rem; }
h1, h2, h3, table, figcaption, .status { font-family: 'Helvetica Neue', Arial, sans-serif; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.status { border-left: .35rem solid #0072b2; background: #f3f7fa; padding: .6rem .9rem; }
.status.bad { border-color: #d55e00; background: #fdf4ee; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e4e4e4;
  overflow-wrap: anywhere; } th { font-weight: 600; width: 15rem; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { font-size: .85rem; color: #444; }
code, pre { font: .85rem/1.4 Menlo, Consolas, monospace; background: #f5f5f5; }
pre { padding: .6rem .9rem; overflow: auto; }
table.wide th { width: auto; }
@media print { body { margin: 0; max-width: none; } figure, table { break-inside: avoid; } }
"""

# With this policy, even a text that was not escaped could not load or run anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_ENDED_BADLY = ("diverged", "failed", "not_converged", "interrupted")


def escape(text: str, quote: bool = True) -> str:
    """A text from a log for HTML, without markup and without characters that reverse or break its line."""
    return markup.escape(printable(text), quote)


def write_report(paths: Sequence[str | Path | Log], output: str | Path | None = None) -> Path:
    """Write the report and return its path: ``output``, or report.html beside the first log.

    Raises UsageError or BadLog where a run cannot be read, StorageError where the report cannot be written.
    """
    logs = [p if isinstance(p, Log) else open_log(p) for p in paths]
    first = logs[0].path
    target = Path(output) if output else (first if first.is_dir() else first.parent) / "report.html"
    if os.path.isdir(target):
        raise StorageError(f"{target} is a directory; name a file to write the report to.")
    return write_atomic(target, html(logs).encode())


def html(logs: Sequence[Log]) -> str:
    """Return the report on ``logs`` as HTML. All text from a log is escaped, as it may come from a stranger."""
    logs = with_distinct_names(logs)
    heading = title(logs[0]) if len(logs) == 1 else f"{len(logs)} runs compared"
    body = [f"<h1>{escape(heading)}</h1>"]
    if len(logs) > 1:
        body += _comparison(logs)
    for log in logs:
        body += _run(log, alone=len(logs) == 1)
    return document(heading, body)


def document(heading: str, body: Sequence[str]) -> str:
    """A page of HTML with that title: ``body`` is markup, in which what may come from a stranger is escaped."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)} · counterplay</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _comparison(logs: Sequence[Log]) -> Iterator[str]:
    for name in ("losses", "metrics"):
        if all(holds(log, name) for log in logs):
            yield _figure(name, list(logs))


def _run(log: Log, alone: bool) -> Iterator[str]:
    facts = summarize(log)
    if not alone:
        yield f"<h2>{escape(title(log))}</h2>"
    yield _status(facts)
    yield "<h3>Results</h3>"
    yield _table((k, v) for k, v in rows(facts).items() if k not in ("status", "message"))
    for name in FIGURES:
        if holds(log, name):
            yield _figure(name, [log])
    if settings := list(_flat(log.run)):
        yield "<h3>Settings</h3>"
        yield _table(settings)
    if references := _references(log):
        yield "<h3>References</h3>"
        yield _table(references)
    if alone:
        yield "<h3>The numbers themselves</h3>"
        yield (
            "<pre>import counterplay as cp\n"
            f"log = cp.open_log({escape(repr(str(log.path)))})\n"
            "log.dataset()             # xarray; the groups are "
            f"{escape(', '.join(log.groups) or 'still empty')}\n"
            "log.frame()               # pandas\n"
            'log["step/losses"]        # numpy</pre>'
        )


def _status(facts: Mapping[str, Any]) -> str:
    state = facts["status"]
    if state is None:
        words = "A lone log file does not say how its run ended."
    else:
        words = RUN_STATES.get(state, f"Its state is {state!r}.")
    steps = "" if facts["steps"] is None else f" {facts['steps']:,} steps." if isinstance(facts["steps"], int) else ""
    why = f" {facts['message']}" if facts["message"] else ""
    kind = "status bad" if state in _ENDED_BADLY else "status"
    return f'<p class="{kind}">{escape(words + steps + why)}</p>'


def _figure(name: str, logs: list[Log]) -> str:
    picture = base64.b64encode(render(plot(name, logs), "png", dpi=150)).decode()
    caption = escape(FIGURES[name].caption)
    alt = escape(f"{FIGURES[name].summary} {', '.join(title(log) for log in logs)}", quote=True)
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{picture}"><figcaption>{caption}</figcaption></figure>'


def _table(pairs: Any) -> str:
    cells = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs)
    return f"<table>{cells}</table>"


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
    return item if isinstance(item, str) else repr(item)
