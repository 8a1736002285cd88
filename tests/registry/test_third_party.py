"""Third parties' solvers, in a distribution or in a file: found when they are asked for, and known as theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import counterplay as cp
from counterplay.core.errors import PluginError, UsageError
from counterplay.core.registry import registry
from counterplay.core.registry.registry import Registry

from ..support.third_parties import FILE, HEAD, solver


def test_a_plugin_is_found_and_its_source_known(fresh: Registry, install: Callable[..., None]) -> None:
    install("good_one", solver("mine"), version="2.1")
    assert "mine" not in fresh.built_in("solver")
    assert vars(cp.make("solver", "mine", gamma=2))["gamma"] == 2.0
    origin = fresh.origin("solver", "mine")
    assert origin["source"] == "good_one 2.1" and len(str(origin["sha256"])) == 64
    assert registry.settings(cp.make("solver", "mine"))["name"] == "mine"
    assert registry.problems() == []


def test_a_built_in_name_imports_no_third_party(fresh: Registry, install: Callable[..., None]) -> None:
    install("lazy_one", "raise RuntimeError('imported')")
    cp.make("solver", "simgd")
    assert "lazy_one" not in sys.modules and registry.problems() == []
    registry.entries("solver")
    assert [(p.plugin, p.message) for p in registry.problems()] == [("lazy_one 1.0", "RuntimeError: imported")]


def test_no_plugins_switches_third_parties_off(
    fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("off_one", solver("off"))
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")
    with pytest.raises(UsageError, match="unknown solver 'off'"):
        cp.make("solver", "off")


def test_two_plugins_with_one_name(fresh: Registry, install: Callable[..., None]) -> None:
    install("first_one", solver("same"))
    install("second_one", solver("same"))
    assert fresh.find("solver", "same").source == "first_one 1.0"
    (problem,) = registry.problems()
    assert problem.plugin == "second_one 1.0" and "taken (first_one 1.0)" in problem.message


def test_a_plugin_with_unreadable_metadata_is_still_named(
    fresh: Registry, install: Callable[..., None], tmp_path: Path
) -> None:
    install("nameless", "raise OSError('no')")
    (tmp_path / "nameless-1.0.dist-info" / "METADATA").write_text("nothing\n")
    registry.entries("solver")
    assert "nameless" in registry.problems()[0].plugin


def test_a_file_is_a_plugin(fresh: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    registry.load_file(str(tmp_path / "mine.py"))
    registry.load_file(str(tmp_path / "mine.py"))  # naming it twice is no conflict
    assert vars(cp.make("solver", "filed"))["gamma"] == 0.5
    assert "file " in str(fresh.origin("solver", "filed")["source"]) and registry.problems() == []


def test_a_file_may_come_after_its_kind_was_asked_for(fresh: Registry, tmp_path: Path) -> None:
    cp.make("solver", "simgd")
    (tmp_path / "late.py").write_text(FILE)
    registry.load_file(str(tmp_path / "late.py"))
    assert vars(cp.make("solver", "filed"))["gamma"] == 0.5


def test_a_bad_file_is_refused(fresh: Registry, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    (tmp_path / "bad.txt").write_text("")
    with pytest.raises(UsageError, match="no such file"):
        registry.load_file(str(tmp_path / "none.py"))
    with pytest.raises(UsageError, match="not a Python file"):
        registry.load_file(str(tmp_path / "bad.txt"))
    with pytest.raises(PluginError, match="cannot be imported: ZeroDivisionError"):
        registry.load_file(str(tmp_path / "bad.py"))


PICKY = """\
@dataclass(frozen=True)
class Picky(Mine):
    def __post_init__(self):
        if self.gamma < 0: raise ValueError("gamma must not be negative")
        if self.gamma > 9: raise OSError("no such device")

@dataclass(frozen=True)
class Stranger:
    pass

@hookimpl
def register_solvers():
    return [Entry("picky", Picky, "p"), Entry("stranger", Stranger, "s")]
"""


def test_factories_that_fail(fresh: Registry, tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(HEAD + PICKY)
    registry.load_file(str(tmp_path / "picky.py"))
    with pytest.raises(UsageError, match="does not accept these options: gamma must not be negative"):
        cp.make("solver", "picky", gamma=-1)
    with pytest.raises(PluginError, match="failed to start: OSError"):
        cp.make("solver", "picky", gamma=10)
    with pytest.raises(PluginError, match=r"is not a counterplay\.Solver"):
        cp.make("solver", "stranger")
