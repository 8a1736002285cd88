"""The cells of a grid: which there are, what each is, and its name."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from counterplay.core.errors import UsageError
from counterplay.core.registry.experiment import from_file, resolve, to_toml
from counterplay.core.sweep.cell import setting_of
from counterplay.core.sweep.grid import grid

from ..conftest import Run

BASE = {"game": "quadratic", "steps": 30}


def test_every_combination_is_a_cell_the_last_axis_first() -> None:
    cells = grid(BASE, {"solver": ["simgd", "ogda"], "solver.lr": [0.1, 0.2], "steps": [7], "seed": range(2)})
    assert [tuple(cell.settings.values()) for cell in cells] == [
        (solver, lr, seed) for solver in ("simgd", "ogda") for lr in (0.1, 0.2) for seed in (0, 1)
    ]
    for cell in cells:
        at, experiment = cell.settings, cell.experiment
        assert at == {axis: setting_of(experiment, axis) for axis in ("solver", "solver.lr", "seed")}
        assert experiment["solver"] == {"name": at["solver"], "lr": at["solver.lr"], "rule": {"name": "sgd"}}
        assert (experiment["seed"], experiment["steps"]) == (at["seed"], 7)


def test_a_cell_is_what_a_dry_run_prints(cli: Run, tmp_path: Path) -> None:
    """Of options for all and for one player, of a loss and of regularizers, too."""
    axes: dict[str, Any] = {
        "game": ["dirac-gan"], "loss": ["wgan"], "solver": ["simgd"], "solver.lr": [0.1],
        "solver.lr.generator": [0.2, 0.3], "regularizers": [["r1", "l2"]], "regularizers.r1.gamma": [2],
        "blowup": [float("inf")],
    }  # fmt: skip
    *_, cell = grid({"steps": 1}, axes)
    asked = "run dirac-gan --loss wgan --solver simgd -s lr=0.1 -s lr.generator=0.3 --regularizer r1 --regularizer l2"
    code, out, err = cli(*asked.split(), *"-r r1.gamma=2 --blowup inf --steps 1 --dry-run".split())
    assert code == 0, err
    (tmp_path / "c.toml").write_text(out, encoding="utf-8")
    assert from_file(str(tmp_path / "c.toml")) == cell.experiment
    assert to_toml(resolve(cell.experiment)) == out


def test_a_name_is_the_sum_of_the_experiment_however_it_was_written() -> None:
    bases: list[dict[str, Any]] = [{"solver": "simgd", **BASE}, {**BASE, "solver": {"name": "simgd"}}]
    one, two = (grid(base, {"seed": [3]})[0] for base in bases)
    text = json.dumps(one.experiment, sort_keys=True, separators=(",", ":"))
    assert one.name == two.name == hashlib.sha256(text.encode()).hexdigest()
    assert len(grid({"solver": "simgd", **BASE}, {"solver.lr": [0.1, 1e-1, 0.10]})) == 1


def test_zipped_axes_go_together() -> None:
    axes: dict[str, list[Any]] = {"solver": ["simgd", "ogda"], "seed": [0, 1], "solver.lr": [0.1, 0.2]}
    cells = grid(BASE, axes, [["solver", "lr"]])
    assert [tuple(cell.settings.values()) for cell in cells] == [
        ("simgd", 0, 0.1), ("simgd", 1, 0.1), ("ogda", 0, 0.2), ("ogda", 1, 0.2),
    ]  # fmt: skip


def test_options_of_a_regularizer_that_a_cell_does_not_have_do_not_matter() -> None:
    axes: dict[str, list[Any]] = {"regularizers": [[], ["r1"]], "regularizers.r1.gamma": [1, 2]}
    cells = grid({"game": "dirac-gan", "solver": "simgd"}, axes)
    assert [c.experiment["regularizers"] for c in cells] == [[], *[[{"name": "r1", "gamma": x}] for x in (1.0, 2.0)]]


@pytest.mark.parametrize(
    ("axes", "zipped", "said"),
    [
        ({"sovler": ["cgd"]}, (), "there is no axis 'sovler'; did you mean 'solver'?"),
        ({"solver": ["cgdd"]}, (), "unknown solver 'cgdd'; did you mean 'cgd'?"),
        ({"solver": ["cgd"], "solver.lrr": [1]}, (), "has no option 'lrr'; did you mean 'lr'?"),
        ({"solver": ["simgd", "ogda"], "seed": [-1]}, (), "seed: expected a whole number"),
        ({"solver": []}, (), "the axis solver has no values"),
        ({"solver": ["simgd", "cgd"], "seed": [1, 2, 3]}, [["solver", "seed"]], "solver has 2, seed has 3"),
        ({"solver": ["simgd"], "solver.lr": [1], "game.lr": [1]}, [["lr", "solver"]], "'lr' may be solver.lr or game"),
        ({"solver": ["simgd"]}, [["solver", "lr"]], "there is no axis 'lr' to zip"),
        ({"solver": ["simgd"], "seed": range(2**40)}, (), "at most 1,000,000 are possible"),
    ],
)
def test_what_no_run_could_have_is_refused(axes: dict[str, Any], zipped: Any, said: str) -> None:
    axes = {k: range(2**20 + 1) if k == "seed" and len(x) > 2**20 else x for k, x in axes.items()}
    with pytest.raises(UsageError, match=re.escape(said)):
        grid(BASE, axes, zipped)
