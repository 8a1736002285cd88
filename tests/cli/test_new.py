"""``counterplay new plugin``: what it writes is a package whose tests, types and checks pass."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..support import wheel


def test_a_package_of_that_name_is_written(cli, tmp_path):
    code, out, _ = cli("new", "plugin", "a/My Games")
    assert code == 0 and "package my_games" in out
    written = {p.relative_to(tmp_path / "a" / "My Games").as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {"pyproject.toml", ".github/workflows/ci.yml", "src/my_games/py.typed", "tests/test_my_games.py"} <= written
    assert len(written) == sum(p.is_file() for p in (wheel.ROOT / wheel.TEMPLATES / "plugin").rglob("*"))
    text = "".join((tmp_path / "a" / "My Games" / name).read_text(encoding="utf-8") for name in written)
    assert "@name@" not in text and "@package@" not in text and "${{ matrix.python }}" in text
    assert 'my_games = "my_games"' in text and '"my-games-optimism"' in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["full"], "full exists and is not an empty folder"),
        (["file"], "file exists and is not an empty folder"),
        (["torch"], "there is a module torch already: give another by --name"),
        (["3"], "makes no name of a package: give one by --name"),
        (["new", "--name", "class"], "--name is 'class', which makes no name of a package"),
    ],
)
def test_a_folder_or_a_name_that_is_taken_is_refused(cli, tmp_path, args, words):
    (tmp_path / "full").mkdir()
    for name in ("file", "full/mine"):
        (tmp_path / name).write_text("mine")
    code, _, err = cli("new", "plugin", *args)
    assert code == 2 and words in err
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["file", "mine"]


def test_an_empty_folder_is_filled(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    assert cli("new", "plugin", "mine")[0] == 0 and (tmp_path / "mine" / "pyproject.toml").exists()


@pytest.mark.slow
def test_its_tests_its_types_and_its_checks_pass(cli, tmp_path: Path) -> None:
    """With counterplay and the package as they are installed from their wheels."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel.build(tmp_path)).extractall(site)
    assert cli("new", "plugin", "my-games")[0] == 0
    environment = {k: v for k, v in os.environ.items() if k != "COUNTERPLAY_NO_PLUGINS"} | {"PYTHONPATH": str(site)}

    def passes(*line: str) -> str:
        done = subprocess.run(line, cwd=tmp_path / "my-games", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    offline = ("--quiet", "--no-build-isolation", "--no-deps", "--no-index")
    python = sys.executable
    passes(python, "-m", "pip", "wheel", *offline, "-w", "dist", ".")
    (built,) = (tmp_path / "my-games" / "dist").iterdir()
    passes(python, "-m", "pip", "install", *offline, "--target", str(site), str(built))
    passes("ruff", "check", ".")
    assert "no issues found in 7 source files" in passes(python, "-m", "mypy")
    assert "45 passed" in passes(python, "-m", "pytest", "-q")
    counterplay = (python, "-m", "counterplay.core.cli.main")
    assert "passes 13 checks" in passes(*counterplay, "check", "solver", "my-games-optimism")
    assert "from the data" in passes(*counterplay, "my-games-compare", "--steps", "5")
    run = ("run", "my-games-shift", "--solver", "my-games-optimism", "--loss", "my-games-tempered", "--steps", "5")
    passes(*counterplay, *run, "--regularizer", "my-games-anchor", "--regularizer", "r1", "--out", "r")
