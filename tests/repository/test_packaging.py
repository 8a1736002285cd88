"""What is packaged, and what lies at the repository's root."""

from __future__ import annotations

import subprocess
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import counterplay

from ..support import wheel


def _project() -> dict[str, object]:
    return tomllib.loads((wheel.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages_on_disk() -> set[str]:
    return {".".join(("counterplay", *path.parent.parts)) for path in wheel.files()}


def test_package_list_is_what_is_on_disk() -> None:
    listed = _project()["tool"]["setuptools"]["packages"]  # type: ignore[index]
    assert set(listed) == _packages_on_disk()
    assert len(listed) == len(set(listed))
    for package in listed:
        assert (wheel.ROOT / Path(*package.split(".")[1:]) / "__init__.py").is_file()


def _tracked() -> list[str]:
    """What git holds; nothing where there is no work tree of ours, or no git."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=wheel.ROOT, capture_output=True, text=True)
    except OSError:
        return []
    return [] if listed.returncode else listed.stdout.split("\0")[:-1]


def test_top_level_is_as_designed() -> None:
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    allowed = {*wheel.FOLDERS, "tests", *files, *wheel.TOP}
    held = {name.split("/")[0] for name in _tracked()}
    if not held:  # no git here: what is ours must be there, what else is there is not ours to judge
        held = {p.name for p in wheel.ROOT.iterdir()} & allowed
        assert {*wheel.FOLDERS, "pyproject.toml", "README.md", *wheel.TOP} <= held
    assert {name for name in held if name[0] != "."} <= allowed


def test_typing_links_lead_to_the_folders() -> None:
    links = wheel.ROOT / ".typing" / "counterplay"
    found = [p for p in links.iterdir() if p.name != "__pycache__"]
    assert {p.name for p in found} == {*wheel.TOP, *wheel.FOLDERS} - {"py.typed"}
    assert all(p.resolve() == wheel.ROOT / p.name for p in found)


def test_wheel_holds_every_module(tmp_path: Path) -> None:
    held = {n for n in zipfile.ZipFile(wheel.build(tmp_path)).namelist() if ".dist-info/" not in n}
    assert held == {f"counterplay/{path.as_posix()}" for path in [*wheel.files(), *wheel.templates()]}
    assert {"counterplay/__init__.pyi", "counterplay/py.typed", "counterplay/core/game/tree.py"} <= held


def test_the_version_is_that_of_the_distribution() -> None:
    assert _project()["project"]["dynamic"] == ["version"]  # type: ignore[index]
    assert counterplay.__version__ == metadata.version("counterplay")


def test_sources_that_are_not_installed_have_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    path = wheel.ROOT / "core" / "version.py"
    here: dict[str, object] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), here)
    assert here["__version__"] == "0+unknown"
