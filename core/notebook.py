"""Tables of HTML, as which a notebook shows the result of a run, a game or a log."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

LONGEST = 200  # characters of a cell


def table(title: str, rows: Iterable[tuple[object, ...]], heads: tuple[str, ...] = ()) -> str:
    """An HTML table of ``rows``, which are shown as text. What is longer than a cell should be is cut short."""

    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{_cell(x)}</{tag}>' for x in cells) + "</tr>"

    head = [line(heads, "th")] if heads else []
    return "".join(["<table>", f"<caption>{_cell(title)}</caption>", *head, *(line(r, "td") for r in rows), "</table>"])


def _cell(x: object) -> str:
    text = str(x)
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
