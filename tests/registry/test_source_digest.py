"""What ``counterplay list`` tells of third parties, and how their code is known again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from counterplay.core.registry import registry
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


DEADLY = {
    "a_hook": (
        "import os\n@hookimpl\ndef register_solvers(): os._exit(0)",
        "ends the process when its hooks are called, with exit code 0",
    ),
    "b_thread": (
        "import threading; threading.Thread(target=threading.Event().wait).start()\n" + solver("threaded"),
        "starts a thread that does not end: make it a daemon, or start it in a step",
    ),
    "c_pool": (
        "from concurrent.futures import ThreadPoolExecutor as Pool\nassert Pool().submit(int).result() == 0\n"
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n" + solver("pooled"),
        "",
    ),
}


def test_hooks_and_threads_are_tried_elsewhere_first(
    monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]
) -> None:
    monkeypatch.setattr(registry, "REGISTRY", Registry())
    for name, (source, _) in DEADLY.items():
        install(name, source)
    known = {e.name for e in registry.entries("solver")}
    assert {"pooled", "simgd"} <= known and "threaded" not in known
    told = {p.plugin.split()[0]: p.message for p in registry.problems()}
    assert told == {name: message for name, (_, message) in DEADLY.items() if message}


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
