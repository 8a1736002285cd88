"""The documentation: its examples are played, and what is not played names commands that exist."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

from counterplay.core.cli.main import cli
from counterplay.core.registry.hookspecs import HOOKS

DOCS = Path(__file__).parents[2] / ".docs"
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [str(DOCS), *sys.path])
    examples = import_module("make.examples")
    scaling = import_module("make.scaling")
PAGES = examples.pages()


@pytest.mark.slow  # the documentation's build, which .ci/run does, plays them too, and stops at the first that fails
@pytest.mark.parametrize("page", [name for name, path in PAGES.items() if examples.FENCE.search(path.read_text())])
def test_the_examples_of_a_page_run(page: str, tmp_path: Path) -> None:
    text = PAGES[page].read_text(encoding="utf-8")
    examples.played(text, tmp_path)
    for picture in re.findall(rf"\(.*generated/examples/{page}/(.*?)\)", text):
        assert (tmp_path / picture).stat().st_size > 0, picture


def test_what_is_not_played_names_commands_that_exist() -> None:
    shown = [
        words
        for path in PAGES.values()
        for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for words in examples.commands(block)
        if words[0] == "counterplay"
    ]
    assert {words[1] for words in shown} <= set(cli.list_commands(click.Context(cli)))


def test_pages_import_public_names_alone() -> None:
    private = re.compile(r"counterplay\.(core|plugins|games|analysis)\b")
    assert [page for page, path in PAGES.items() if private.search(path.read_text(encoding="utf-8"))] == []


def test_pages_lead_to_pages() -> None:
    """What the README and the pages link to, by its path, is there or is made when the site is built."""
    sources = {DOCS.parent / "README.md", *PAGES.values()}
    for source in sources:
        prose = re.sub(r"```.*?```|`[^`]*`", "", source.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!http)([^)#]+)", prose):
            assert "generated/" in target or (source.parent / target).exists(), f"{source.name} leads to {target}"


def test_the_page_on_scaling_shows_the_newest_record() -> None:
    """Each series has a row with its slope, each method one with its memory, and each solver one with its messages."""
    record = scaling.newest()
    figures = record["figures"]
    found = scaling.series(figures)
    for axes, own in found.items():
        for name, points in own.items():
            upper = min(len(points) // 2, len(points) - 2)
            x, y = (np.log([*values])[upper:] for values in (points.keys(), points.values()))
            slope = figures[f"slope of {axes}{': ' * bool(name)}{name}"]
            assert slope == pytest.approx(np.polyfit(x, y, 1)[0], abs=0.01)
    text = "\n".join(scaling.slopes(record))
    assert text.count(" at ") == sum(map(len, found.values())) and record["date"] in text
    memory = found["memory, MB, against parameters"]
    n, megabytes = [*memory["cgd"].items()][-1]
    assert f"| cgd | {megabytes * 1e6 / 8 / n:.1f} |" in scaling.memory(figures)
    assert "| simgd | 1 | 1 | 1 | 2 |" in scaling.messages(figures)  # v; parameters and v


def test_the_page_on_plugins_has_every_hook() -> None:
    named = re.findall(r"^\| `(register_\w+)` \|", PAGES["how-to/plugin"].read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(HOOKS)
