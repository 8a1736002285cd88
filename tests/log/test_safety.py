"""Logs from strangers: what could harm its reader is refused before a number is read, and never with a traceback."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.figures.plot import FIGURES
from counterplay.analysis.log.export import export
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog, UserError
from counterplay.core.log import safety
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.storage.atomic import write_atomic
from counterplay.core.storage.lock import acquire

from ..conftest import Run
from ..support import hostile, hostile_contents, hostile_structure
from ..support.hostile_files import AROUND, RAW
from ..support.logs import look

PARTS = (hostile_structure.HARMS, hostile_contents.HARMS, AROUND, RAW)
HARMS: hostile.Harms = {name: harm for part in PARTS for name, harm in part.items()}


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.canary(tmp_path_factory.mktemp("away") / "run")


def hurt(run: Path, away: Path, name: str) -> str:
    """Do to the run what ``name`` does, and return what is to be said of it."""
    harm, said = HARMS[name]
    harm(run, away)
    return said


def test_there_are_enough_of_them() -> None:
    assert len(HARMS) == sum(map(len, PARTS)) >= 50


def seldom(names: list[str]) -> list[object]:
    """Every other one is a slow test: the quick tier sees half of them."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (i % 2)) for i, name in enumerate(names)]


@pytest.mark.parametrize("name", seldom([*HARMS]))
def test_what_could_harm_is_refused(run: Path, away: Path, files: Sandbox, name: str) -> None:
    """Here and in another process; with a sentence, without what stands elsewhere, in little time."""
    said = hurt(run, away, name)
    began = time.monotonic()
    for how in (files, False):
        with pytest.raises(BadLog, match=re.escape(said)) as refused:
            look(open_log(run, sandbox=how))
        words = str(refused.value)
        assert words.endswith(".") and words.isprintable() and hostile.CANARY not in words
    assert time.monotonic() - began < 10


def test_an_honest_run_is_read_alike(run: Path, files: Sandbox) -> None:
    here, there = open_log(run), open_log(run, sandbox=files)
    assert summarize(here) == summarize(there) and list(here) == list(there) and here.attrs == there.attrs
    for key in here:
        assert here[key].dtype == there[key].dtype and here[key].tobytes() == there[key].tobytes()
    assert here.read("step/losses", 3, 7).tolist() == there.read("step/losses", 3, 7).tolist()


def test_structure_alone_can_be_checked(run: Path, away: Path) -> None:
    safety.check(run / "log.h5")
    said = hurt(run, away, "soft")
    with pytest.raises(BadLog, match=re.escape(said)):
        safety.check(run / "log.h5")
    with pytest.raises(BadLog, match="not a readable HDF5 file"):
        safety.check(run / "run.json")


COMMANDS = (
    "summary {path}", "summary --json {path}", "summary --follow {path}", "plot losses {path} -o {out}.png",
    "report {path} -o {out}.html", "log verify {path}", "log export {path} --to {out}.csv --force",
    "log merge {path} --to {out}.h5 --force",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMS)
def test_every_command_ends_with_65(run: Path, away: Path, name: str, tmp_path: Path, cli: Run) -> None:
    hurt(run, away, name)
    seen = set()
    for line in COMMANDS:
        began = time.monotonic()
        code, *shown = cli(*(word.format(path=run, out=tmp_path / "out") for word in line.split()))
        seen.add(code)
        assert code in (0, 65), (line, shown)
        assert hostile.CANARY not in "".join(shown)
        assert time.monotonic() - began < 20
    assert 65 in seen and (0 not in seen or name in AROUND)  # a figure may not need the file that is bad
    assert hostile.most_memory() < hostile.GIB


# What a stranger's directory must not do to the user's own files


@pytest.mark.parametrize("name", ["report.html", "log.h5"])
def test_a_link_where_a_draft_is_written_is_not_followed(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / f".{name}.tmp").symlink_to(mine)
    write_atomic(tmp_path / name, b"theirs")
    assert mine.read_text() == "mine" and (tmp_path / name).read_bytes() == b"theirs"


def test_a_link_where_the_lock_is_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "lock").symlink_to(mine)
    with pytest.raises(UserError, match="Could not lock"):
        acquire(tmp_path)
    assert mine.read_text() == "mine"


# Words that would steer a terminal, make a formula or a script

EVIL = (
    """=HYPERLINK("http://a","b")\x1b[2J\x1b]0;owned\x07\x9b31m\u202egame\x7f\r\n\tx,y"""
    """<script>alert(1)</script>"'><img src=x onerror=y>&lt;"""
)


def test_words_are_words_wherever_they_are_shown(tmp_path: Path, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(text: str) -> bool:
        return all(c.isprintable() or c == "\n" for c in text)

    few = {"losses": FIGURES["losses"]}  # the others take seconds
    monkeypatch.setattr("counterplay.analysis.commands.report.FIGURES", few)
    path = hostile.words_everywhere(tmp_path / "run", EVIL)
    for command in (["summary", "--json"], ["log", "verify"], ["report"]):
        code, out, err = cli(*command, path)
        assert code in (0, 65) and "internal" not in err and plain(out + err)
    text = (path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text and "onerror=y>" not in text and plain(text)
    assert 'role="img" aria-label="' in text and not re.search(r'aria-label="[^"]*<', text)
    assert plain(table([summarize(open_log(path))]))
    lines = export(open_log(path), "step", tmp_path / "a.csv").read_text(encoding="utf-8").split("\n")
    assert len(lines) == hostile.STEPS + 2 and not re.search(r"(^|,)\"?[=+@]|\r|\t", lines[0])
