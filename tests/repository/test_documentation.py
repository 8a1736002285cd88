"""The documentation: its examples are played, and what is not played names commands that exist."""

from __future__ import annotations

import json
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


def test_every_block_of_python_and_of_sh_is_an_example() -> None:
    """`pytest .docs` and the build of the site play them: .ci/run does both."""
    for path in PAGES.values():
        fences = re.findall(r"^```(python|sh)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(list(examples.SYBIL.parse(path))) == len(fences), path


def test_a_page_shows_what_its_examples_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Sums\n\n```python\nx = 1 + 1\n```\n\nSo it is:\n\n```python\nprint(x)\n```\n<!-- output -->\n\nEnd.\n"
    monkeypatch.setattr(examples.kept, "DOCS", tmp_path)
    monkeypatch.setattr(examples.kept, "GENERATED", tmp_path / "generated")
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="examples of page were not played"):
        examples.with_outputs("page", text)
    examples.play()
    assert examples.with_outputs("page", text) == text.replace("<!-- output -->", "\n```text\n2\n```")
    kept = tmp_path / "generated/examples/page/outputs.json"
    before = kept.stat().st_mtime_ns
    examples.play()
    assert kept.stat().st_mtime_ns == before, "played once only"
    (tmp_path / "page.md").write_text(text.replace("1 + 1", "1 +"), encoding="utf-8")
    with pytest.raises(SyntaxError):
        examples.play()


def test_notebooks_are_stored_without_what_they_show() -> None:
    for path in (DOCS / "notebooks").glob("*.ipynb"):
        code = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        assert code and all(c["outputs"] == [] and c["execution_count"] is None for c in code), path


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
    sources = {**PAGES, **{p.name: p for p in (DOCS / "notebooks").glob("*.ipynb")}}
    assert [page for page, path in sources.items() if private.search(path.read_text(encoding="utf-8"))] == []


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
