"""Importing a plugin breaks nothing else: what it raises, prints or changes is reported, and a slow one is named."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.process import global_state
from counterplay.core.registry import registry, third_party
from counterplay.core.registry.registry import Registry
from counterplay.core.tracing import traced

from ..conftest import Run
from ..support.third_parties import FILE, solver

BROKEN = [
    ("raise SystemExit(4)", "SystemExit: 4"),
    ("raise GeneratorExit", "GeneratorExit"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("raise BaseException('no')", "BaseException: no"),
    ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    ("def broken(:", "SyntaxError"),
    ("x = 1", "implements no hook"),
    ("@hookimpl\ndef register_things(): return []", "unknown hook register_things: the hooks are register_sol"),
    ("@hookimpl\ndef register_solvers(extra): return []", "extra"),
    ("@hookimpl\ndef register_solvers(): return Entry('a', Mine, 'b')", "returned Entry; expected a list"),
    ("@hookimpl\ndef register_solvers(): return 'abc'", "returned str; expected a list"),
    ("@hookimpl\ndef register_solvers(): return None", "returned NoneType; expected a list"),
    ("@hookimpl\ndef register_solvers(): return [('a', Mine)]", "returned a tuple among its items"),
    ("@hookimpl\ndef register_solvers(): return [Entry('A b', Mine, 'c')]", "'A b' is not lower-case words"),
    ("@hookimpl\ndef register_solvers(): return [Entry('a', len, 'c')]", "not a dataclass"),
    ("@hookimpl\ndef register_solvers(): return [Entry('a', Mine, 3)]", "must be text"),
    ("@hookimpl\ndef register_solvers(): raise OSError('no')", "OSError: no"),
    ("@hookimpl\ndef register_solvers(): yield 1 / 0", "ZeroDivisionError"),
    ("print('loud')\n" + solver("simgd"), "the solver name 'simgd' is taken (built in); this one was dropped"),
    ("import torch; torch.set_grad_enabled(False)\n" + solver("f"), "changed torch's gradient mode; this was put back"),
    ("class Gone(KeyboardInterrupt): pass\nraise Gone('no')", "Gone: no"),
    ("def deeper(): return deeper()\ndeeper()", "RecursionError: maximum recursion depth exceeded"),
    ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
]


@pytest.mark.parametrize(("source", "message"), BROKEN)
def test_a_broken_plugin_is_reported_and_nothing_else_is_lost(
    fresh: Registry, install: Callable[..., None], source: str, message: str
) -> None:
    install("aaa_broken", source, version="0.3")
    install("zzz_good", solver("mine"))
    assert {"mine", "simgd"} <= {e.name for e in registry.entries("solver")}
    assert type(cp.make("solver", "simgd")).__module__.startswith("counterplay.")
    found = registry.problems()
    assert found and {p.plugin for p in found} == {"aaa_broken 0.3"}
    assert message in found[0].message
    with pytest.raises(UsageError, match=r"1 plugin\(s\) have problems: see counterplay list"):
        cp.make("solver", "zzz")


def test_an_entry_that_was_dropped_says_why_where_it_is_asked_for(
    fresh: Registry, install: Callable[..., None]
) -> None:
    install("half", "@hookimpl\ndef register_solvers(): return [Entry('thawed', len, 'c')]", version="0.3")
    with pytest.raises(
        UsageError, match=r"unknown solver 'thawed'.* was dropped: half 0.3: .*thawed: its factory is not a"
    ):
        cp.make("solver", "thawed")


def test_a_refused_plugin_is_not_kept(
    fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pluggy before 1.6 keeps one whose hooks it has refused."""
    register = fresh.manager.register

    def keeping(plugin: Any, name: str | None = None) -> str | None:
        if getattr(plugin, "__name__", "") != "aaa_broken":
            return register(plugin, name)
        fresh.manager._name2plugin[plugin.__name__] = plugin
        raise pluggy.PluginValidationError(plugin, "wants extra")

    monkeypatch.setattr(fresh.manager, "register", keeping)
    install("aaa_broken", "@hookimpl\ndef register_solvers(extra): return []")
    install("zzz_good", solver("mine"))
    assert {"mine", "simgd"} <= {e.name for e in registry.entries("solver")}
    assert [p.message for p in registry.problems()] == ["PluginValidationError: wants extra"]
    assert not fresh.manager.is_registered(sys.modules["aaa_broken"])


def test_a_plugin_that_prints_does_not_reach_the_output(
    fresh: Registry, install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("loud_one", "print('hello')\n" + solver("loud"))
    assert "loud" in {e.name for e in registry.entries("solver")}
    said = capsys.readouterr()
    assert said.out == "" and said.err == "hello\n"


PRESSED = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"


@pytest.mark.parametrize(("sign", "whose"), [("raise KeyboardInterrupt", "the plugin's"), (PRESSED, "the user's")])
def test_ctrl_c_is_the_users(fresh: Registry, install: Callable[..., None], sign: str, whose: str) -> None:
    install("interrupted_one", sign)
    before = signal.getsignal(signal.SIGINT)
    if whose == "the user's":
        with pytest.raises(KeyboardInterrupt):
            registry.entries("solver")
    else:
        assert "simgd" in {e.name for e in registry.entries("solver")}
        assert [p.message for p in registry.problems()] == ["KeyboardInterrupt"]
    assert signal.getsignal(signal.SIGINT) is before


CHANGES = {
    "torch's default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "torch's default device": "import torch; torch.set_default_device('meta')",
    "torch's number of threads": "import torch; torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch's gradient mode": "import torch; torch.set_grad_enabled(False)",
}


def test_what_an_import_changes_is_put_back_and_told(
    fresh: Registry, install: Callable[..., None], tmp_path: Path
) -> None:
    def state() -> list[object]:
        return [value for value, _ in global_state.settings().values()]

    before = state()
    for n, line in enumerate(CHANGES.values()):
        install(f"changes_{n}", f"{line}\n" + solver(f"mine-{n}"))
    assert {f"mine-{n}" for n in range(len(CHANGES))} <= {e.name for e in registry.entries("solver")}
    told = {p.plugin: p.message for p in registry.problems()}
    assert told == {f"changes_{n} 1.0": f"changed {what}; this was put back" for n, what in enumerate(CHANGES)}
    (tmp_path / "file.py").write_text(FILE + "\n" + "\n".join(CHANGES.values()))
    registry.load_file(str(tmp_path / "file.py"))
    assert vars(cp.make("solver", "filed"))["gamma"] == 0.5
    assert len([p for p in registry.problems() if p.plugin.endswith("file.py")]) == len(CHANGES)
    assert state() == before and not traced.transform_active(), "nothing looks on that did not before"


def test_list_names_each_with_its_distribution_and_error(
    cli: Run, fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And costs no other command: what is built in is listed, made and described all the same."""
    monkeypatch.delenv("COUNTERPLAY_NO_PLUGINS")
    for n, (source, _) in enumerate(BROKEN):
        install(f"broken_{n}", source)
    for command in (["list"], ["describe", "solver", "simgd"], ["list", "solvers", "--json"]):
        code, out, err = cli(*command)
        assert code == 0 and "simgd" in out and "loud" not in out
        if command[0] == "list":
            told = dict(re.findall(r"problem: (\w+) 1\.0: (.*?)(?=problem: |\Z)", err, re.DOTALL))
            assert len(told) == len(BROKEN)
            assert all(message in told[f"broken_{n}"] for n, (_, message) in enumerate(BROKEN)), told


SLOW = "import threading\n[t.join() for t in threading.enumerate() if isinstance(t, threading.Timer)]\n"


def test_a_plugin_that_takes_long_is_named_while_it_lasts(
    fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is used all the same. Its import waits until it is named."""
    monkeypatch.setattr(third_party, "SLOW_SECONDS", 0.2)
    install("slow_one", SLOW + solver("slow"))
    assert "slow" in {e.name for e in registry.entries("solver")} and registry.problems() == []
    named = "The plugin slow_one 1.0 has not been loaded after 0.2 seconds; still waiting for it.\n"
    assert capsys.readouterr().err.startswith(named)
