"""Nothing depends on assertions, which ``python -O`` leaves out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..support import wheel

UPHILL = """
from dataclasses import dataclass
import counterplay as cp

@dataclass(frozen=True)
class Uphill(cp.Composed):
    "one everywhere"
    def direction(self, local):
        return {i: {k: x * 0 + 1 for k, x in tree.items()} for i, tree in local.gradient().items()}

@cp.hookimpl
def register_solvers():
    return [cp.Entry("uphill", Uphill, "walks past equilibria", "nobody")]
"""


@pytest.mark.parametrize("flag", ["-O", pytest.param("-OO", marks=pytest.mark.slow)])
def test_a_broken_plugin_fails_its_checks(tmp_path: Path, flag: str) -> None:
    (tmp_path / "uphill.py").write_text(UPHILL)
    line = [
        sys.executable,
        flag,
        "-m",
        "counterplay.core.cli.main",
        "check",
        "solver",
        "uphill",
        "--plugin",
        "uphill.py",
    ]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "FAIL  an equilibrium is a fixed point: it leaves the equilibrium of quadratic: off by " in done.stdout
    assert re.fullmatch(r"Error: solver uphill fails [1-9] of \d+ checks\.\n", done.stderr)


@pytest.mark.slow
def test_a_sound_one_passes_them(tmp_path: Path) -> None:
    line = [sys.executable, "-O", "-m", "counterplay.core.cli.main", "check", "solver", "simgd"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "FAIL" not in done.stdout and "solver simgd passes " in done.stdout


def test_nothing_shipped_asserts() -> None:
    """``python -O`` leaves out assertions: what must hold is checked by a statement that raises."""
    for path in wheel.files():
        tree = ast.parse((wheel.ROOT / path).read_text(encoding="utf-8"))
        lines = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert)]
        assert not lines, f"{path} asserts in line {lines}"
