"""The documentation: its examples are played, and what is not played names commands that exist."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from counterplay.core.cli.main import cli

DOCS = Path(__file__).parents[2] / ".docs"
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [str(DOCS), *sys.path])
    examples = import_module("make.examples")
PAGES = examples.pages()


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
