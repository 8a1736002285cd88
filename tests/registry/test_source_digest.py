"""What ``counterplay list`` tells of third parties, and how their code is known again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from counterplay.core.registry.registry import Registry

from ..conftest import Run
from ..support.third_parties import HEAD, solver

TOLD = {
    "a_raises": ("@hookimpl\ndef register_commands(group): raise BaseException('boo')", "BaseException: boo"),
    "b_run": (
        "@hookimpl\ndef register_commands(group): group.command('run')(lambda: None)",
        "the command name 'run' is taken (built in); this one was dropped",
    ),
    "c_steers": ("raise ValueError('\\x1b[31mred\\nline')", "ValueError: �[31mred line"),
    "d_pluggy": (
        "@hookimpl\ndef register_solvers(extra): return []",
        "PluginValidationError: Plugin 'd_pluggy' for hook",
    ),
}


def test_list_tells_each_on_one_plain_line(
    cli: Run, fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERPLAY_NO_PLUGINS")
    for name, (source, _) in TOLD.items():
        install(name, source)
    install(
        "e_summary", '@hookimpl\ndef register_solvers(): return [Entry("mine", Mine, "a\\x1b[2J\\nb", "c\\u202ed")]'
    )
    code, out, err = cli("list")
    assert code == 0 and "�[2J�b" in out and "\x1b" not in out + err
    told = dict(line.removeprefix("problem: ").split(" 1.0: ") for line in err.splitlines())
    assert told.keys() == TOLD.keys()
    assert all(told[name].startswith(message) for name, (_, message) in TOLD.items()), told
    code, out, _ = cli("describe", "solver", "mine")
    assert code == 0 and "\x1b" not in out and "\u202e" not in out
    assert "\u202e" not in cli("list", "solver", "--json")[1]


def test_the_digest_is_of_the_whole_package(
    fresh: Registry, install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packaged"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner.solver import *\n")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "solver.py").write_text(HEAD + solver("packed"))
    (package / "unrelated.txt").write_text("1")
    install("packaging", "", point="packaged")
    monkeypatch.delitem(sys.modules, "packaged", raising=False)

    def digest() -> str:
        return str(fresh.origin("solver", "packed")["sha256"])

    first = digest()
    (package / "unrelated.txt").write_text("2")
    assert digest() == first
    (package / "inner" / "solver.py").write_text(HEAD + solver("packed") + "# other\n")
    second = digest()
    assert second != first
    (package / "inner" / "more.py").write_text("")
    assert digest() not in (first, second)


def test_the_digest_of_a_lone_module_is_its_files(
    fresh: Registry, install: Callable[..., None], tmp_path: Path
) -> None:
    import hashlib

    install("lone", solver("alone"))
    (tmp_path / "beside.py").write_text("")
    whole = hashlib.sha256((tmp_path / "lone.py").read_bytes()).hexdigest()
    assert fresh.origin("solver", "alone")["sha256"] == whole
    assert "sha256" not in fresh.origin("solver", "simgd")
