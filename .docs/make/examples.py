"""The examples of the pages, played: every block of Python and every command of a block of sh.

The blocks of a page are played in order, in one folder: ``generated/examples/PAGE``, where the page finds the pictures
that its examples draw. Blocks of ``console`` and ``bash`` are not played: they need a GPU, a cluster or files of the
reader's own. A line ``<!-- output -->`` after a block stands for what the block printed.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from . import kept

FENCE = re.compile(r"^```(sh|python|toml)\n(.*?)^```\n(?:<!-- (output|file: (\S+)) -->\n)?", re.M | re.S)


def pages() -> dict[str, Path]:
    """Every page that is written by hand, by its name in the documentation."""
    found = (p for p in kept.DOCS.rglob("*.md") if not {"generated", "_build"} & {*p.relative_to(kept.DOCS).parts})
    return {p.relative_to(kept.DOCS).with_suffix("").as_posix(): p for p in sorted(found)}


def play() -> None:
    """Play the examples of every page that have not been played with these sources."""
    for page, path in pages().items():
        text = path.read_text(encoding="utf-8")
        blocks = [match[0] for match in FENCE.finditer(text)]
        folder, key = kept.GENERATED / "examples" / page, kept.key(*blocks)
        if blocks and kept.load(folder / "outputs.json", key) is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            kept.keep(folder / "outputs.json", key, played(text, folder))


def played(text: str, folder: Path) -> list[str]:
    """Play the blocks of a page in ``folder`` and return what each of them printed. Raises what goes wrong."""
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    with contextlib.chdir(folder):
        for language, code, _, file in (match.groups() for match in FENCE.finditer(text)):
            if file:
                Path(file).write_text(code, encoding="utf-8")
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                if language == "python" and not file:
                    exec(compile(code, str(folder), "exec"), names)
                elif language == "sh":
                    for words in commands(code):
                        command(words)
            outputs.append(said.getvalue().replace(f"{folder}/", ""))
    return outputs


def commands(code: str) -> list[list[str]]:
    """The commands of a block of sh, as words."""
    lines = code.replace("\\\n", " ").splitlines()
    return [w for line in lines for part in line.split("&&") if (w := shlex.split(part, comments=True))]


def command(words: list[str]) -> None:
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


def with_outputs(page: str, text: str) -> str:
    """The text of a page, with what its blocks printed."""
    blocks = [match[0] for match in FENCE.finditer(text)]
    if page not in pages() or not blocks:
        return text
    path = kept.GENERATED / "examples" / page / "outputs.json"
    outputs = kept.load(path, kept.key(*blocks))
    if outputs is None:
        raise ValueError(f"The examples of {page} were not played, or the page has changed since: build again.")
    printed = iter(outputs)

    def shown(match: re.Match[str]) -> str:
        output = next(printed).rstrip()
        block = match[0].partition("\n<!-- ")[0].rstrip("\n") + "\n"
        return f"{block}\n```text\n{output}\n```\n" if match[3] == "output" else block

    return FENCE.sub(shown, text)
