"""Plugin files that import the modules beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterplay.core.errors import PluginError
from counterplay.core.registry import registry, sibling_modules

from ..conftest import Run
from ..support.third_parties import HEAD

RUN = ("run", "quadratic", "--solver", "scaled", "--steps", "2", "--quiet", "--plugin")
MINE = """
from factor_of_tests import FACTOR

@dataclass(frozen=True)
class Scaled(cp.Composed):
    "a multiple of v"

    def direction(self, local):
        from late_of_tests import late
        return late(local.scale(FACTOR, local.gradient()))

@hookimpl
def register_solvers(): return [Entry("scaled", Scaled, "scaled", "Me 2024")]
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of a test stays imported."""
    monkeypatch.setattr(sibling_modules, "_HOMES", {})
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0].endswith("_of_tests") or name.startswith("counterplay_plugin_"):
            del sys.modules[name]


def plugin(folder: Path, factor: str = "FACTOR = 3.0", late: str = "def late(x): return x") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "factor_of_tests.py").write_text(factor)
    package = folder / "late_of_tests"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("from .inner import late")
    (package / "inner.py").write_text(late)
    (folder / "unused_of_tests.py").write_text("raise SystemExit")
    (folder / "json.py").write_text("raise SystemExit")  # Python's own come first
    (folder / "mine.py").write_text(HEAD + "import json" + MINE)
    return folder / "mine.py"


def digest(out: str) -> str:
    (origin,) = (o for o in json.loads(Path(out, "run.json").read_text())["experiment"]["origins"] if "sha256" in o)
    return str(origin["sha256"])


def test_a_plugin_file_imports_what_is_beside_it(cli: Run, tmp_path: Path) -> None:
    file = plugin(tmp_path / "a folder")
    code, _, err = cli(*RUN, file, "--out", "three")
    assert code == 0, err
    cli("run", "quadratic", "--solver", "simgd", "-s", "lr=0.03", "--steps", "2", "--quiet", "--out", "plain")
    losses = [json.loads(cli("summary", out, "--json")[1])["losses"] for out in ("three", "plain")]
    assert losses[0]["x"] == pytest.approx(losses[1]["x"], rel=1e-12)
    assert not [p for p in sys.path if "a folder" in p]


def test_what_it_found_beside_it_is_in_its_digest(cli: Run, tmp_path: Path) -> None:
    digests = []
    for name, factor, late in (
        ("a", "FACTOR = 3.0", "def late(x): return x"),
        ("b", "FACTOR = 3.0", "def late(x): return x"),
        ("c", "FACTOR = 3.5", "def late(x): return x"),
        ("d", "FACTOR = 3.0", "def late(x): return x  # changed"),
    ):
        file = plugin(tmp_path / "p", factor, late)
        (tmp_path / "p" / "unused_of_tests.py").write_text(name)
        line = [sys.executable, "-m", "counterplay.core.cli.main", *RUN, str(file), "--out", name]
        assert subprocess.run(line, cwd=tmp_path).returncode == 0
        digests.append(digest(name))
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_a_failure_beside_it_is_the_plugins(cli: Run, tmp_path: Path) -> None:
    file = plugin(tmp_path / "p", late="def late(x): raise KeyError('oh')")
    code, _, err = cli(*RUN, file)
    assert code == 3 and f"the plugin file {file} failed: a step raised KeyError: 'oh'" in err


def test_a_plugin_file_that_takes_itself_for_part_of_a_package_is_told(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from .factor_of_tests import FACTOR")
    code, _, err = cli(*RUN, str(tmp_path / "mine.py"))
    assert code == 3 and "import what is beside it without the dot" in err and len(err.splitlines()) == 1


def test_two_neighbours_of_one_name_are_refused(cli: Run, tmp_path: Path) -> None:
    one, other = plugin(tmp_path / "one"), plugin(tmp_path / "other")
    code, _, err = cli("list", "solver", "--plugin", one, "--plugin", other)
    assert (
        code == 3 and f"{one.parent / 'factor_of_tests.py'} is loaded by that name already. Rename one of them." in err
    )
    registry.load_file(str(one))  # again is nothing new


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("")
    (tmp_path / "mine.py").write_text("import numpy")
    with pytest.raises(PluginError, match=r"it imports numpy.py beside it, and .*numpy/__init__.py is loaded by that"):
        registry.load_file(str(tmp_path / "mine.py"))


def test_neighbours_are_read_off_the_source(tmp_path: Path) -> None:
    for name, source in (
        ("mine", "import a.b, c as d\nfrom e import f\nfrom . import g\ndef late(): import h"),
        ("a", "import i\nimport mine"),
        ("i", "import a"),
        ("c", "this is no Python ("),
        ("g", ""),
        ("unused", ""),
    ):
        (tmp_path / f"{name}.py").write_text(source)
    for name in ("e", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "e" / "deep.py").write_text("import k")
    (tmp_path / "k.py").write_text("")
    found = sibling_modules.neighbours(tmp_path / "mine.py")
    assert {name: home.name for name, home in found.items()} == {"a": "a", "c": "c.py", "e": "e", "k": "k.py"}
