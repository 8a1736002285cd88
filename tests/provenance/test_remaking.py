"""What was made by name is made again when a run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.provenance.remaking import equal_values, table_of
from counterplay.core.registry.registry import REGISTRY, make
from counterplay.core.storage.strict_json import dumps, parse

from ..support.stopped import QUADRATIC, SOLVER, STEPS, same, stopped

PLUGIN = """
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
import counterplay as cp
from counterplay.core.options import option

@dataclass(frozen=True)
class Slow(cp.Composed):
    factor: float = option(0.5, "of the field")
    def direction(self, local):
        return local.scale(self.factor, local.gradient())

@cp.hookimpl
def register_solvers():
    return [cp.Entry("slow", Slow, "a part of v", "nobody")]
"""
PLAYED = """
import sys, counterplay as cp
from counterplay.core.registry.registry import load_file
load_file("slow.py")
left = iter(range(3))
solver = cp.make("solver", "slow", lr=0.01, factor=0.25)
cp.run(cp.make("game", "quadratic"), solver, steps=8, out="d", stop=lambda: next(left, None) is None)
"""


@pytest.mark.parametrize("kind", ["solver", "game", "regularizer"])
def test_whatever_is_made_by_name_has_the_table_that_makes_it(kind: str) -> None:
    for name, found in REGISTRY.built_in(kind).items():
        given = {"data": "digits"} if getattr(found.entry.factory, "small_options", {}) else {}  # no files are needed
        for thing in (make(kind, name, **given), found.entry.factory(**given)):  # by name, and straight from its class
            table = table_of(thing)
            assert table is not None and table["name"] == name
            assert equal_values(make(kind, parse(dumps(table))), thing)


def test_what_no_table_makes_again_is_described() -> None:
    Simgd = REGISTRY.built_in("solver")["simgd"].entry.factory

    class Mine(Simgd):  # type: ignore[valid-type]
        pass

    assert table_of(Mine(0.1)) is None
    assert table_of(Simgd(lr=torch.tensor(0.1))) is None
    assert table_of(Simgd(lr=float("nan"))) is None  # JSON has none
    assert table_of(Simgd(lr=(0.1, 0.2))) == {"name": "simgd", "lr": [0.1, 0.2], "rule": {"name": "sgd"}}


def test_the_readme_s_own_run_goes_on_by_itself(tmp_path: Path, cli: Any) -> None:
    solver = make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    whole = cp.run(QUADRATIC, solver, steps=STEPS)
    run = stopped(tmp_path / "q", QUADRATIC, solver)
    facts = json.loads((run / "run.json").read_text())["experiment"]
    assert facts["game"] == {"name": "quadratic", "a": 1.0, "b": 10.0, "c": 1.0}
    assert facts["solver"] == {"name": "simgd", "lr": {"x": 0.09, "y": 0.01}, "rule": {"name": "sgd"}}
    assert [o["source"] for o in facts["origins"]] == ["built in"] * 2
    code, out, err = cli("spectrum", run, "--json")
    assert code == 0, err
    radius = json.loads(out)["meaning"]["update_radius"]
    F = torch.eye(2, dtype=torch.float64) - torch.tensor([[0.18, 0.9], [-0.1, -0.02]], dtype=torch.float64)
    assert radius == pytest.approx(torch.linalg.eigvals(F).abs().max().item(), rel=1e-12)
    code, _, err = cli("resume", run)
    assert code == 0, err
    assert same(whole, cp.resume(run))


def test_regularizers_are_part_of_it(tmp_path: Path) -> None:
    game = make("game", "mixture", hidden=6, layers=1, batch=8, loss="wgan")
    norm = [make("regularizer", "r1", gamma=0.5)]
    whole = cp.run(game, SOLVER, steps=STEPS, regularizers=norm)
    run = stopped(tmp_path / "a", game, regularizers=norm)
    names = {(o["kind"], o["name"]) for o in json.loads((run / "run.json").read_text())["experiment"]["origins"]}
    assert names == {("game", "mixture"), ("loss", "wgan"), ("solver", "simgd"), ("regularizer", "r1")}
    with pytest.raises(UsageError, match="the regularizers were r1 and are none"):
        cp.resume(run, game=game, solver=SOLVER, regularizers=[])
    with pytest.raises(UsageError, match=r"the regularizer's gamma was 0\.5 and is 2\.0"):
        cp.resume(run, regularizers=[make("regularizer", "r1", gamma=2.0)])
    with pytest.raises(UsageError, match=r"the game's loss was wgan and is saturating"):
        cp.resume(run, game=make("game", "mixture", hidden=6, layers=1, batch=8, loss="saturating"))
    assert same(whole, cp.resume(run, game=game))


def test_a_plugin_s_solver_is_made_again_with_the_code_it_had(tmp_path: Path, cli: Any) -> None:
    Path("slow.py").write_text(PLUGIN)
    done = subprocess.run([sys.executable, "-c", PLAYED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("d/run.json").read_text())["experiment"]
    assert found["solver"] == {"name": "slow", "lr": 0.01, "rule": {"name": "sgd"}, "factor": 0.25}
    assert found["origins"][1]["source"] == "file slow.py" and len(found["origins"][1]["sha256"]) == 64
    code, _, err = cli("resume", "d")
    assert code == 2 and "unknown solver 'slow'" in err
    code, _, err = cli("resume", "d", "--plugin", "slow.py")
    assert code == 0, err
