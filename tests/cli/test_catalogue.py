"""`counterplay list`, `describe` and `--version`."""

from __future__ import annotations

import json
import re

import click
import pytest

import counterplay as cp
from counterplay.core.registry.kinds import KINDS
from counterplay.core.terminal import style

from ..conftest import Run


def test_list(cli: Run) -> None:
    code, out, err = cli("list")
    assert code == 0 and err == ""
    assert re.search(r"^solvers\n  \S", out, re.M) and "  quadratic " in out
    code, out, _ = cli("list", "solvers", "--json")
    facts = json.loads(out)
    assert {"simgd", "acgd"} <= {f["name"] for f in facts}
    assert all(f.keys() == {"name", "summary", "reference"} for f in facts)
    assert {f["kind"] for f in json.loads(cli("list", "--json")[1])} == set(KINDS)


def test_describe_shows_formula_options_and_reference(cli: Run) -> None:
    code, out, _ = cli("describe", "solver", "conopt")
    assert code == 0
    assert "reference: Mescheder" in out and "source: built in" in out and "J^T v" in out
    assert "gamma: a number, a list of numbers (one per member) or a table {player: number}; default" in out


def test_describe_finds_the_kind(cli: Run) -> None:
    assert cli("describe", "conopt") == cli("describe", "solver", "conopt")
    code, out, _ = cli("describe", "digits")
    assert code == 0 and out.startswith("game digits: ") and "\n\ndataset digits: " in out
    for words, said in (
        (["cdg"], "there is nothing called 'cdg'; did you mean 'cgd'?"),
        (["losses"], "the losses are saturating, "),
        (["solver", "cgd", "lr"], "describe takes [KIND] NAME, and got 3 words"),
    ):
        code, _, err = cli("describe", *words)
        assert code == 2 and said in err


@pytest.mark.parametrize("word", ["learning_rate", "step_size", "eta"])
def test_what_others_call_lr_is_matched(cli: Run, word: str) -> None:
    code, _, err = cli("run", "quadratic", "--solver", "simgd", "-s", f"{word}=0.1")
    assert code == 2 and f"no option '{word}'; did you mean 'lr'?" in err


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, cli: Run) -> None:
    assert "\x1b" not in "".join(map(str, cli("describe", "cgd") + cli("describe", "nothing-like-it")))
    monkeypatch.setattr(click.utils, "should_strip_ansi", lambda stream, color: color is False)
    assert "\x1b[1m" in cli("describe", "cgd")[1] and "\x1b[31m" in cli("describe", "nothing-like-it")[2]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(map(str, cli("describe", "cgd") + cli("describe", "nothing-like-it")))


def test_a_list_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a-name", "some words that are longer than the terminal is wide " * 2)]
    assert len(next(iter(style.definitions(rows, 8)))) > 110
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = next(iter(style.definitions(rows, 8))).split("\n")
    assert max(map(len, lines)) < 60 and all(line.startswith(" " * 12) for line in lines[1:]) and len(lines) > 2


def test_every_entry_can_be_described(cli: Run) -> None:
    facts = json.loads(cli("list", "--json")[1])
    assert len(facts) > 40
    for fact in facts:
        assert cli("describe", fact["kind"], fact["name"])[0] == 0


def test_version(cli: Run) -> None:
    assert cli("--version")[1] == f"counterplay, version {cp.__version__}\n"
