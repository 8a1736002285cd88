"""The examples of the pages, played by Sybil: every block of Python and every command of a block of sh.

The blocks of a page are played in order, in one folder: ``generated/examples/PAGE``, where the page finds the pictures
that its examples draw. Blocks of ``console`` and ``bash`` are not played: they need a GPU, a cluster or files of the
reader's own. A line ``<!-- output -->`` after a block stands for what the block printed; ``<!-- file: NAME -->`` keeps
it in a file instead of playing it. ``pytest .docs`` plays all of them, the build of the site what is new.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sybil import Document, Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.myst import CodeBlockParser

from . import kept

AFTER = re.compile(r"\n<!-- (output|file: (\S+)) -->")
OUTPUTS = "__outputs__"


def pages() -> dict[str, Path]:
    """Every page that is written by hand, by its name in the documentation."""
    found = (p for p in kept.DOCS.rglob("*.md") if not {"generated", "_build"} & {*p.relative_to(kept.DOCS).parts})
    return {_name(p): p for p in sorted(found)}


def play() -> None:
    """Play the examples of every page that have not been played with these sources."""
    for page in map(SYBIL.parse, pages().values()):
        if _kept(page) is None:
            _begin(page.namespace)
            for example in page:
                example.evaluate()


def with_outputs(page: str, text: str) -> str:
    """The text of a page, with what its blocks printed."""
    if page not in pages():
        return text
    document = SYBIL.parse(pages()[page])
    if document.text != text or (outputs := _kept(document)) is None:
        raise ValueError(f"The examples of {page} were not played, or the page has changed since: build again.")
    parts, end = [], 0
    for example, output in zip(document, outputs, strict=True):
        parts.append(text[end : example.end])
        after = AFTER.match(text, example.end)
        if after and after[1] == "output":
            parts.append(f"\n\n```text\n{output.rstrip()}\n```")
        end = after.end() if after else example.end
    return "".join([*parts, text[end:]])


def commands(code: str) -> list[list[str]]:
    """The commands of a block of sh, as words."""
    lines = code.replace("\\\n", " ").splitlines()
    return [w for line in lines for part in line.split("&&") if (w := shlex.split(part, comments=True))]


def _command(words: list[str]) -> None:
    """Play one command; what is not counterplay's own is no example."""
    from counterplay.core.cli.main import main

    if words[0] != "counterplay":
        raise ValueError(f"no command of counterplay: {shlex.join(words)}")
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            main(words[1:])
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"{shlex.join(words)} ended with {stop.code}: {errors.getvalue()}") from None


def _shell(example: Example) -> None:
    for words in commands(example.parsed):
        _command(words)


def _played(block: Callable[[Example], None]) -> Callable[[Example], None]:
    """Play a block in its page's folder, and keep what it prints."""

    def evaluate(example: Example) -> None:
        outputs, folder = example.namespace[OUTPUTS], _folder(example.document)
        if not outputs:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        said = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(said):
            after = AFTER.match(example.document.text, example.end)
            if after and after[2]:
                Path(after[2]).write_text(example.parsed, encoding="utf-8")
            else:
                block(example)
        outputs.append(said.getvalue().replace(f"{folder}/", ""))
        kept.keep(folder / "outputs.json", _key(example.document), outputs)

    return evaluate


def _kept(document: Document) -> list[str] | None:
    """What the blocks of a page printed, if all of them were played with these sources."""
    blocks = len(document.regions)
    outputs = kept.load(_folder(document) / "outputs.json", _key(document)) if blocks else []
    return outputs if outputs is not None and len(outputs) == blocks else None


def _key(document: Document) -> str:
    """The digest of what a page plays, and with which sources."""
    marks = (AFTER.match(document.text, example.end) for example in document)
    return kept.key(*(f"{x.parsed}{mark and mark[0]}" for x, mark in zip(document, marks, strict=True)))


def _folder(document: Document) -> Path:
    return kept.GENERATED / "examples" / _name(Path(document.path))


def _name(path: Path) -> str:
    return path.relative_to(kept.DOCS).with_suffix("").as_posix()


def _begin(namespace: dict[str, Any]) -> None:
    namespace.update({"__name__": "__main__", OUTPUTS: []})


PARSERS = [CodeBlockParser("python", _played(PythonEvaluator())), CodeBlockParser("sh", _played(_shell))]
SYBIL = Sybil(PARSERS, "*.md", path=str(kept.DOCS), setup=_begin)
