"""What is said of a spectrum beside its numbers: at a solver's first step, at a kink, for a leader, at what cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.analysis.commands.summary import summarize
from counterplay.analysis.log.log import open_log
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.log.schema import SPECTRUM_STATUS
from counterplay.core.spectra import spectrum as spectra
from counterplay.core.spectra.spectrum import update_spectrum, update_spectrum_far_from_one
from counterplay.core.spectra.stackelberg import leader_curvature
from counterplay.core.spectra.update_map import UpdateMap, update_jacobian

from ..support.cases import F64, generator, matrix_game, random, random_matrix

MEMORIES = [
    ("ogda", {}),
    ("past-extragradient", {}),
    ("acgd", {}),
    ("cgd", {"warm_start": True}),
    ("simgd", {"rule": "adam"}),
    ("simgd", {"rule": {"name": "momentum", "beta": -0.3}}),
]


@pytest.mark.parametrize(("solver", "options"), MEMORIES)
def test_a_memory_that_is_still_empty_spoils_no_eigenvalue(
    solver: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start it is 0, and its unit is what it will be after a step."""
    game = matrix_game(random_matrix((10, 12), 14), (10, 12))
    F = UpdateMap(game, cp.make("solver", solver, lr=0.1, **options), game.init(generator()), None, {})
    exact = update_spectrum(F).eigenvalues
    monkeypatch.setattr(spectra, "DENSE", 0)
    found = update_spectrum_far_from_one(F, k=6, max_products=200)
    assert found is not None
    settled = found.eigenvalues[found.status == 0]
    assert len(settled) >= 4 and float((settled[:, None] - exact).abs().min(1).values.max()) < 1e-6
    assert float((1 - settled).abs().max()) == pytest.approx(float((1 - exact).abs().max()), rel=1e-6)


def test_a_root_of_zero_is_said_of_every_eigenvalue() -> None:
    """Adam at a place where a gradient is exactly 0: the root of its second moment has no derivative there."""
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.1, rule="adam")
    rest = {i: {"value": torch.zeros(1, dtype=F64)} for i in game.players}
    moved = {i: {"value": torch.ones(1, dtype=F64)} for i in game.players}

    def said(params: cp.Params, solver: cp.Solver) -> set[str]:
        found = update_spectrum(UpdateMap(game, solver, params, None, {}))
        return {SPECTRUM_STATUS[k] for k in found.status.tolist()}

    assert said(rest, solver) == {"not_differentiable"} and said(moved, solver) == {"converged"}
    assert said(rest, cp.make("solver", "simgd", lr=0.1)) == {"converged"}
    two = {i: {"value": torch.tensor([[0.0], [1.0]], dtype=F64)} for i in game.players}
    status = update_spectrum(UpdateMap(Evaluator(game, 2), solver, two, None, {})).status
    assert [{SPECTRUM_STATUS[k] for k in row} for row in status.tolist()] == [{"not_differentiable"}, {"converged"}]


def test_a_root_of_zero_is_said_in_logs_but_not_of_what_is_dead(tmp_path: Path) -> None:
    """A ReLU unit that no sample reaches has the second moment 0, and keeps it wherever the parameters move to."""
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.1, rule="adam")
    rest = {i: {"value": torch.zeros(1, dtype=F64)} for i in game.players}
    cp.run(game, solver, steps=1, start=rest, spectrum_every=1, out=tmp_path / "rest")
    assert (open_log(tmp_path / "rest")["spectrum/update_status"] == SPECTRUM_STATUS.index("not_differentiable")).all()

    def losses(p: cp.Params, batch: cp.Batch) -> dict[str, torch.Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        f = (x[0] - 1) ** 2 + x[0] * y[0] - y[0] ** 2 + torch.relu(x[1] - 1) * y[0]
        return {"x": f, "y": -f}

    start = {"x": {"value": torch.zeros(2, dtype=F64)}, "y": {"value": torch.ones(1, dtype=F64)}}
    dead = cp.game_from_losses(losses, start)
    cp.run(dead, solver, steps=1, spectrum_every=1, out=tmp_path / "dead")
    assert (open_log(tmp_path / "dead")["spectrum/update_status"] == SPECTRUM_STATUS.index("converged")).all()


def quadratic(A: torch.Tensor, B: torch.Tensor, D: torch.Tensor, zero_sum: bool = True) -> cp.Game:
    def losses(p: cp.Params, batch: cp.Batch) -> dict[str, torch.Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        f = x @ A @ x / 2 + x @ B @ y - y @ D @ y / 2
        return {"x": f, "y": -f}

    start = {"x": {"value": torch.zeros(len(A), dtype=F64)}, "y": {"value": torch.zeros(len(D), dtype=F64)}}
    return cp.game_from_losses(losses, start, zero_sum=zero_sum)


def test_the_leader_s_curvature_is_the_schur_complement_s() -> None:
    A, D, B = random(2, 2, seed=1), random(3, 3, seed=2), random(2, 3, seed=3)
    A, D = A + A.T, D + D.T
    game = quadratic(A, B, D)
    params = game.init(generator())

    def curvature(local: LocalGame) -> list[float]:
        found = leader_curvature(local)
        assert found is not None
        return found.flatten().tolist()

    expected = torch.linalg.eigvalsh(A + B @ torch.linalg.inv(D) @ B.T)[0]
    assert curvature(LocalGame.of(game, params, {})) == pytest.approx([float(expected)])
    both = LocalGame.of(Evaluator(game, 2), {i: {"value": x["value"].expand(2, -1)} for i, x in params.items()}, {})
    assert curvature(both) == pytest.approx([float(expected)] * 2)
    assert curvature(LocalGame.of(quadratic(A, B, 0 * D), params, {})) == pytest.approx([math.nan], nan_ok=True)
    assert leader_curvature(LocalGame.of(quadratic(A, B, D, zero_sum=False), params, {})) is None
    four = cp.make("game", "four-player")
    assert leader_curvature(LocalGame.of(four, four.init(generator()), {})) is None


def test_a_log_says_of_the_last_point_what_the_command_says(tmp_path: Path, cli: Any) -> None:
    options = ["-g", "a=-0.5", "-g", "b=3", "-g", "c=-1", "--solver", "simgd", "-s", "lr=0.05"]
    assert (
        cli("run", "quadratic", *options, "--steps", 1500, "--spectrum-every", 500, "--out", tmp_path / "run")[0] == 0
    )
    kind = summarize(open_log(tmp_path / "run"))["meaning"]["kind"]
    assert kind["name"] == "stackelberg" and "curvature is ≥ 3.5" in kind["because"]
    assert np.allclose(open_log(tmp_path / "run")["spectrum/leader_curvature"], -1 + 9 / 2)
    assert kind["words"] in cli("spectrum", tmp_path / "run")[1]


def test_the_derivative_of_a_step_that_fails_is_no_error() -> None:
    """The follower's block of a bilinear game is 0: its best answer does not exist."""
    game = cp.make("game", "bilinear")
    for name in ("stackelberg", "follow-the-ridge"):
        assert not torch.isfinite(update_jacobian(game, cp.make("solver", name, lr=0.1), game.init(generator()))).all()


@pytest.mark.parametrize(
    ("solver", "options", "cost"),
    [
        ("simgd", {}, (1, 0)),
        ("unrolled", {"k": 0}, (1 + 1, 0)),  # the losses that are reported are those of the game itself
        ("unrolled", {"k": 5}, (1 + 6, 5)),
        ("unrolled", {"k": 5, "everyone": True}, (1 + 11, 10)),
        ("lola", {}, (1 + 4, 3)),
        ("lola", {"exact": True}, (1 + 2, 1)),
        ("cgd", {"method": "dense"}, (1, 40)),  # the rows of J
    ],
)
def test_what_a_step_costs(solver: str, options: dict[str, Any], cost: tuple[int, int]) -> None:
    game = cp.make("game", "bilinear", dimension=20)
    table, made = Evaluator(game), cp.make("solver", solver, lr=0.01, **options)
    params = table.start([generator()])[0]
    made.step(table, params, made.init(table, params), dict)
    assert (table.cost.gradients, table.cost.products) == cost
