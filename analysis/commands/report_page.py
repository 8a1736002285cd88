"""The page that a report is: one HTML file with its style, for a phone and a desk, by day and by night."""

from __future__ import annotations

import base64
import html as markup
import re
from collections.abc import Iterable, Sequence

from ...core.errors import printable
from ..drawing.curves import KEY
from ..drawing.names import title
from ..figures.plot import FIGURES, plot, render
from ..log.log import Log

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #555; --line: #e0e0e0; --page: #fff; --box: #f4f6f8;
  --accent: #0072b2; --bad: #d55e00; --best: #e6f2ea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --soft: #a9adb3; --line: #3a3f45; --page: #16191c;
  --box: #20252a; --accent: #56b4e9; --bad: #f0955a; --best: #1d3a2a; }
  svg.chart { filter: invert(.92) hue-rotate(180deg); } figure.pictures svg { background: #fff; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 'Helvetica Neue', Arial, sans-serif; color: var(--ink); background: var(--page);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
a { color: var(--accent); } nav { font-size: .9rem; } nav a { margin-right: 1rem; white-space: nowrap; }
.status { border-left: .35rem solid var(--accent); background: var(--box); padding: .6rem .9rem; margin: .8rem 0; }
.status.bad { border-color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
table.facts th, table.facts td { overflow-wrap: anywhere; } table.facts th { font-weight: 600; width: 38%; }
table.wide th, table.wide td { white-space: nowrap; } td.best { background: var(--best); font-weight: 600; }
figure { margin: 1.2rem 0; } figure svg, figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { font-size: .85rem; color: var(--soft); margin-top: .3rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; } summary { cursor: pointer; font-weight: 600; }
code, pre { font: .85rem/1.45 Menlo, Consolas, monospace; background: var(--box); }
pre { padding: .6rem .9rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 1.2rem; }
@media print { body { margin: 0; max-width: none; } figure, table { break-inside: avoid; } }
"""

# With this policy, even a text that was not escaped could not load or run anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LARGEST = 3 << 20  # bytes of a drawing that is kept as lines; of a larger one the page has a picture


def escape(text: str, quote: bool = True) -> str:
    """A text from a log for HTML, without markup and without characters that reverse or break its line."""
    return markup.escape(printable(text), quote)


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


def figure(name: str, logs: Sequence[Log], number: int, **options: str) -> str:
    """A figure as lines in the page (SVG), with its caption. ``number`` keeps names in it apart from other figures'."""
    drawn = plot(name, list(logs), **options)  # type: ignore[arg-type]
    alt = escape(f"{FIGURES[name].summary} {', '.join(title(log) for log in logs[:8])}")
    lines = render(drawn, "svg")
    if len(lines) <= _LARGEST:
        content = _inline(lines.decode(), f"f{number}-", alt, "picture" if name == "samples" else "chart")
    else:
        picture = base64.b64encode(render(drawn, "png", dpi=150)).decode()
        content = f'<img alt="{alt}" src="data:image/png;base64,{picture}">'
    kind = ' class="pictures"' if name == "samples" else ""
    caption = f"<figcaption>{escape(FIGURES[name].caption)}</figcaption>"
    return f'<figure{kind}><div class="scroll">{content}</div>{caption}</figure>'


def _inline(text: str, prefix: str, alt: str, kind: str) -> str:
    """matplotlib's SVG for a page that has several: other names, no comments, as wide as there is room."""
    text = re.sub(rf' id="{KEY}"', "", text)
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[0]}{prefix}", text)
    opening, _, rest = text.partition(">")
    size = re.search(r'width="([0-9.]+)pt" height="[0-9.]+pt"', opening)
    if size is not None:
        wide = float(size[1]) / 72  # inches; on a phone it shrinks, but not below what can be read
        opening = opening.replace(size[0], f'style="width:{wide:.2f}in;min-width:{0.54 * wide:.2f}in"')
    return f'{opening} class="{kind}" role="img" aria-label="{alt}">{rest.strip()}'


def facts(pairs: Iterable[tuple[object, object]]) -> str:
    """A table of a name and a value in each row."""
    cells = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs)
    return f'<table class="facts">{cells}</table>'


def grid(head: Sequence[str], rows: Iterable[Sequence[tuple[str, bool]]]) -> str:
    """A table with a heading for each column; a cell is a text and whether it is the best of its column."""
    titles = "".join(f"<th>{escape(text)}</th>" for text in head)
    mark = {True: ' class="best"', False: ""}
    lines = "".join(
        "<tr>" + "".join(f"<td{mark[best]}>{escape(text)}</td>" for text, best in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table class="wide"><tr>{titles}</tr>{lines}</table></div>'


def folded(words: str, *content: str) -> str:
    """What is read only by who opens it."""
    return f"<details><summary>{escape(words)}</summary>{''.join(content)}</details>"
