"""What the README shows, tried: its plugin, its Python, and that its commands are commands."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import counterplay as cp
from counterplay.core.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every counterplay command of the README, as words."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [w[1:] for w in words if w and w[0] == "counterplay"]


def run(*args: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    assert stop.value.code in (0, None)


def test_what_users_copy_imports_public_names_alone() -> None:
    """All of ``counterplay`` is public, and nothing below ``counterplay.core`` is."""
    plugins = Path(__file__).parent.parent / "thirdparty"
    sources = {"README.md": README} | {str(p): p.read_text(encoding="utf-8") for p in plugins.rglob("*.py")}
    assert len(sources) > 1
    assert [
        name for name, text in sources.items() if re.search(r"counterplay\.(core|plugins|games|analysis)\b", text)
    ] == []


def test_the_plugin_runs_and_passes_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (b for b in blocks("python") if "class Twist" in b)
    (tmp_path / "twist.py").write_text(code, encoding="utf-8")
    assert len(code.strip().splitlines()) <= 25, "about twenty lines"
    wanted = [c for c in commands() if "twist.py" in c]
    assert len(wanted) == 2
    for command in wanted:
        run(*command)


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (b for b in blocks("python") if "game_from_losses" in b)
    here: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), here)
    assert here["F"].shape == (2, 2)  # type: ignore[attr-defined]
    assert (tmp_path / "runs" / "q" / "log.h5").exists()
    assert isinstance(here["mine"], cp.Game)


def test_every_run_is_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [c for c in commands() if c[0] == "run" and "--plugin" not in c]
    assert len(runs) >= 5
    for command in runs:
        run(*command, "--dry-run")
        assert "[game]" in capsys.readouterr().out


def test_ci_finds_its_commands_in_the_readme() -> None:
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "minimum", "release"))
    for marker in ("<!-- ci:install -->\n```sh\n", "<!-- ci:test -->\n```sh\n"):
        assert README.count(marker) == 1, marker
