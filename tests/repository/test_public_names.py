"""The public names: listed once, and known to type checkers from the installed wheel."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import counterplay

from ..support import names, wheel

NAMES = vars(counterplay)["_HOME"]
EXAMPLE = Path(__file__).parents[1] / "thirdparty" / "counterplay_example" / "__init__.py"

GAME = """
from dataclasses import dataclass
from typing import assert_type

import torch
from torch import Tensor

import counterplay as cp


def losses(params: cp.Params, batch: cp.Batch) -> dict[str, Tensor]:
    f = (params["x"]["value"] * params["y"]["value"]).sum()
    return {"x": f, "y": -f}


@dataclass(frozen=True)
class Slow(cp.Composed):
    "half of v"

    share: cp.Setting = cp.option(0.5, "of v")

    def direction(self, local: cp.LocalGame) -> cp.Params:
        v = assert_type(local.gradient(), cp.Params)
        assert_type(local.jacobian().rmv(v), cp.Params)
        return assert_type(local.scale(self.share, v), cp.Params)


start: cp.Params = {"x": {"value": torch.ones(2)}, "y": {"value": torch.ones(2)}}
game = assert_type(cp.game_from_losses(losses, start), cp.Game)
assert_type(game.players, tuple[str, ...])
assert_type(cp.tree.add(start, cp.tree.scale(start, 0.5)), dict[str, dict[str, Tensor]])
assert_type(cp.tree.norm(start), Tensor)
result = assert_type(cp.run(game, Slow(lr=0.1), steps=3, observers=[cp.Every(1, print)]), cp.Result)
assert_type(result.params, cp.Params)
assert_type(result.status, str)
assert_type(cp.update_jacobian(game, Slow(), result.params), Tensor)
assert_type(cp.__version__, str)
quadratic: cp.Game = cp.make("game", "quadratic", b=10.0)
assert_type(quadratic.players, tuple[str, ...])
assert_type(cp.make("game", "mixture").latent, int)
assert_type(cp.make("solver", {"name": "simgd", "lr": 0.1}), cp.Solver)
mine: cp.Solver = cp.make("solver", "twist", strength=2.0)
assert_type(cp.make("loss", cp.make("loss", "hinge")), cp.GanLoss)
assert_type([cp.make("metrics", name) for name in ("fid", "kid")], list[cp.Metric])
"""
WRONG = """
import counterplay as cp

cp.tree.norm("x")
cp.Entry("name")
cp.nothing
"""


def test_every_line_of_the_stub_is_read() -> None:
    stub = ast.parse((wheel.ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    lines = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert len(lines) == len(stub.body) - 1, "a docstring, and imports alone"
    assert {(name.name, name.asname, f".{line.module}") for line in lines for name in line.names} == {
        (name, name, home) for name, home in NAMES.items()
    }


def test_the_stub_has_every_built_in_name() -> None:
    assert names.STUB.read_text(encoding="utf-8") == names.written(), "python -m tests.support.names writes it anew"


def test_every_public_name_resolves() -> None:
    assert {"run", "tree", "option", "Solver", "__version__"} <= set(NAMES)
    for name in NAMES:
        assert getattr(counterplay, name) is not None
        assert name in dir(counterplay) and name in vars(counterplay)["__all__"]


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'counterplay' has no attribute 'gaem_from_losses'"):
        exec("counterplay.gaem_from_losses", {"counterplay": counterplay})
    with pytest.raises(ImportError, match="cannot import name 'Gaem'"):
        exec("from counterplay import Gaem")


def test_type_checkers_know_the_installed_package(tmp_path: Path) -> None:
    """``mypy --strict`` of a third party's plugin and of a game in one expression, against the wheel, unpacked."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel.build(tmp_path)).extractall(site)
    for name, source in {"example": EXAMPLE.read_text(encoding="utf-8"), "game": GAME, "wrong": WRONG}.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "example.py", "game.py", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    errors = done.stdout.splitlines()
    assert errors, done.stderr
    assert [line.rpartition("  ")[2] for line in errors[:-1]] == ["[arg-type]", "[call-arg]", "[attr-defined]"], errors
    assert all(line.startswith("wrong.py:") for line in errors[:-1]), errors
    assert errors[-1] == "Found 3 errors in 1 file (checked 3 source files)"
