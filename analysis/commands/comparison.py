"""Several runs in one table: a column for each of a few runs, a row for each of many."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ..measures.run_table import columns_of
from ..settings import differing

Facts = dict[str, str]  # label -> text, of one run

BESIDE = 3  # most runs that are shown as columns
_ENDING = ("status", "steps")
_CELL = 28  # longest text of a cell; of a longer one the middle is left out


def compared(runs: Sequence[Facts], asked: Sequence[Mapping[str, Any]], width: int) -> str:
    """The facts of the runs as a table in lines of ``width``; ``asked`` are their experiments."""
    if len(runs) == 1:
        return "\n".join(_alone(runs[0], width))
    runs = [{label: text for label, text in run.items() if label != "settings"} for run in runs]
    own = differing(asked)
    if len(runs) <= BESIDE:
        return "\n".join(_columns([_with_settings(run, more) for run, more in zip(runs, own, strict=True)], width))
    return "\n".join(_rows(runs, own, width))


def _alone(run: Facts, width: int) -> list[str]:
    """A line for each fact; the settings of a run take as many as they need."""
    room = max(width - max(map(len, run)) - 2, 20)
    wrapped = {k: textwrap.wrap(x, room) if k == "settings" else [x] for k, x in run.items()}
    return aligned([cell for k, parts in wrapped.items() for cell in zip_longest([k], parts, fillvalue="")])


def _with_settings(run: Facts, own: Mapping[str, str]) -> Facts:
    """The facts of a run with its own settings before how it ended."""
    at = next((i for i, label in enumerate(run) if label in _ENDING), len(run))
    facts = list(run.items())
    return dict([*facts[:at], *((k, x) for k, x in own.items() if k not in run), *facts[at:]])


def _columns(runs: Sequence[Facts], width: int) -> list[str]:
    """A line for each label, or several lines if a text is too long for one."""
    labels = columns_of(runs)
    wide = max((width - max(map(len, labels))) // len(runs) - 2, 12)
    cells: list[list[str]] = []
    for label in labels:
        parts = [textwrap.wrap(text, wide) for text in (run.get(label, "") for run in runs)]
        cells += [list(row) for row in zip_longest([label], *parts, fillvalue="")]
    return aligned(cells)


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells, with the columns aligned."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def _rows(runs: Sequence[Facts], asked: Sequence[Facts], width: int) -> Iterator[str]:
    """What all runs have in common; then a row for each run with what differs, as far as it fits."""
    place, names = _named([run.get("run", "") for run in runs])
    known = columns_of(runs)
    whole = [run | {k: v for k, v in more.items() if k not in known} for run, more in zip(runs, asked, strict=True)]
    labels = [label for label in columns_of(whole) if label != "run"]
    common = [x for x in labels if x not in _ENDING and len({run.get(x) for run in whole}) == 1]
    shown = [label for label in labels if label not in common]
    yield from textwrap.wrap(f"{len(runs)} runs" + f" in {place}" * bool(place), width)
    room = width - max(map(len, common), default=0) - 4
    yield from aligned([["  " + label, _cut(whole[0][label], room)] for label in common])
    yield ""
    picked = {"run": ["run", *names]}
    left: list[str] = []
    for label in sorted(shown, key=_rank(set(known))):
        cells = _column(label, [run.get(label, "") for run in whole])
        wide = sum(2 + max(map(len, column)) for column in [*picked.values(), cells]) - 2
        if wide <= width:
            picked[label] = cells
        else:
            left.append(label)
    heads = [column[0].split("\n") for column in picked.values()]
    deep = max(map(len, heads))
    heads = [[""] * (deep - len(head)) + head for head in heads]
    yield from aligned([*zip(*heads, strict=True), *zip(*(c[1:] for c in picked.values()), strict=True)])
    if left:
        yield ""
        more = f"Also different: {', '.join(left)}. They are in the summary of each run, and in --json."
        yield from textwrap.wrap(more, width)


def _rank(results: set[str]) -> Callable[[str], int]:
    """A key that sorts labels: how a run ended, what was asked, how near it came; long texts come last."""
    first = ("game", "solver", "loss", "regularizers", "seed", "members")

    def rank(label: str) -> int:
        if label in _ENDING:
            return 0
        if label in first or label not in results:
            return 1
        starts = ("gradient norm", "loss of", "spectral radius")
        return next((n for n, start in enumerate(starts, 2) if label.startswith(start)), 6 if label == "message" else 5)

    return rank


def _column(label: str, texts: list[str]) -> list[str]:
    """The heading, in as many lines as its words need to be as narrow as the cells, and the cells."""
    cells = [_cut(text, _CELL) for text in texts]
    wide = max([*map(len, cells), *map(len, label.split()), 8])
    return ["\n".join(textwrap.wrap(label, wide) or [""]), *cells]


def _cut(text: str, length: int) -> str:
    length = max(length, 8)
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-(length - length // 2 - 1) :]}"


def _named(paths: list[str]) -> tuple[str, list[str]]:
    """The folder that has all runs, and their paths in it."""
    try:
        place = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # absolute and relative paths are mixed
        place = ""
    return place, [_cut(os.path.relpath(path, place) if place else path, 40) for path in paths]
