"""The field of a two-parameter game around the path of one run: recorded at its end, and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.quiver import Quiver
from torch import Tensor

import counterplay as cp
from counterplay.analysis.figures.plot import plot
from counterplay.analysis.log.log import Log, open_log
from counterplay.core.game.tree import Buffers
from counterplay.core.log.plane_grid import CELLS, mesh, window

from ..support.logs import J


def recorded(out: Path, game: cp.Game, lr: float, steps: int = 60, **options: Any) -> Log:
    cp.run(game, cp.make("solver", "simgd", lr=lr), out=out, steps=steps, **options)
    return open_log(out)


def test_the_field_is_v_all_around_the_path(tmp_path: Path) -> None:
    """Also where v is no linear function: that of the exponential game is written out."""
    log = recorded(tmp_path / "q", cp.make("game", "quadratic"), 0.03)
    points, v = log["samples/plane"][0], log["samples/field"][0]
    assert points.shape == v.shape == (CELLS, CELLS, 2)
    np.testing.assert_allclose(v, points @ J.T, rtol=0, atol=1e-13)
    path, cell = log["step/parameters"], np.ptp(points, axis=(0, 1)) / (CELLS - 1)
    low, high = points.min((0, 1)) - 0.51 * cell, points.max((0, 1)) + 0.51 * cell
    assert ((path >= low) & (path <= high)).all()
    log = recorded(tmp_path / "e", cp.make("game", "exponential", alpha=3.0, start=(0.5, 0.5)), 0.01)
    (x, y), v = np.moveaxis(log["samples/plane"][0], -1, 0), log["samples/field"][0]
    np.testing.assert_allclose(v[..., 0], -2 * x * np.exp(x**2) - 3 * y, rtol=1e-12)
    np.testing.assert_allclose(v[..., 1], -2 * y * np.exp(y**2) + 3 * x, rtol=1e-12)


def test_the_figure_has_arrows_everywhere(tmp_path: Path) -> None:
    recorded(tmp_path / "q", cp.make("game", "quadratic"), 0.03)
    axes = plot("field", tmp_path / "q").axes[0]
    (arrows,) = (c for c in axes.collections if isinstance(c, Quiver))
    assert np.size(arrows.X) == CELLS**2
    x, y = axes.transAxes.inverted().transform(axes.transData.transform(arrows.get_offsets())).T
    filled, *_ = np.histogram2d(x, y, bins=4, range=[[0, 1], [0, 1]])
    assert (filled > 10).all(), "every sixteenth of the panel has arrows"
    turned = np.stack([arrows.U, arrows.V], -1) * -1  # arrows are -v, of length 1
    v = np.stack([arrows.X, arrows.Y], -1) @ J.T
    np.testing.assert_allclose(turned, v / np.linalg.norm(v, axis=1, keepdims=True), atol=1e-9)


def test_regularizers_count_and_single_precision_does_as_well(tmp_path: Path) -> None:
    l2 = cp.make("regularizer", "l2", player="x", weight=2.0)
    log = recorded(tmp_path / "q", cp.make("game", "quadratic"), 0.01, regularizers=[l2], dtype="float32")
    points, v = log["samples/plane"][0], log["samples/field"][0]
    slope = np.linalg.lstsq(points.reshape(-1, 2), v.reshape(-1, 2), rcond=None)[0].T
    np.testing.assert_allclose(slope[1], J[1], atol=1e-4)
    assert slope[0, 0] > J[0, 0] + 0.5


def test_one_plane_at_the_end_and_none_elsewhere(tmp_path: Path) -> None:
    quadratic = cp.make("game", "quadratic")
    assert recorded(tmp_path / "a", quadratic, 0.03)["samples/step"].tolist() == [60]
    assert recorded(tmp_path / "b", quadratic, 0.9, steps=500)["samples/step"].tolist()[0] < 500  # it diverges
    assert "samples/field" not in recorded(tmp_path / "c", quadratic, 0.03, members=2)
    assert "samples/field" not in recorded(tmp_path / "d", cp.make("game", "four-player"), 0.03)
    assert "samples/field" in recorded(tmp_path / "e", quadratic, 0.03, every=25, compile=True)


@dataclass(frozen=True)
class Branching(cp.Game):
    """A game that can be played one at a time only."""

    players = ("x", "y")

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {"value": torch.ones((), dtype=torch.float64)} for i in self.players}

    def losses(self, params: cp.Params, batch: cp.Batch) -> dict[str, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]
        f = x * y if float(x.detach()) > 0 else x - y
        return {"x": f, "y": -f}


def test_a_game_that_is_no_ensemble_has_its_steps_for_a_field(tmp_path: Path) -> None:
    log = recorded(tmp_path / "b", Branching(), 0.03, trace=False)
    assert log.status["state"] == "max_steps" and "samples/field" not in log
    assert any("length of the step" in axes.get_ylabel() for axes in plot("field", log).axes)


@dataclass(frozen=True)
class Sized(cp.Game):
    """v = a (y, -x) with a buffer a that follows |(x, y)|^2."""

    players = ("x", "y")

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {"value": torch.ones(1, dtype=torch.float64)} for i in self.players}

    def buffers(self, rng: torch.Generator) -> Buffers:
        return {"a": torch.zeros((), dtype=torch.float64)}

    def refresh(self, params: cp.Params, buffers: Buffers) -> Buffers:
        size = (params["x"]["value"] ** 2 + params["y"]["value"] ** 2).sum()
        return {"a": (buffers["a"] + size) / 2}

    def losses(self, params: cp.Params, batch: cp.Batch) -> dict[str, Tensor]:
        f = batch["a"] * (params["x"]["value"] * params["y"]["value"]).sum()
        return {"x": f, "y": -f}


def test_buffers_are_those_of_each_place_in_the_plane(tmp_path: Path) -> None:
    log = recorded(tmp_path / "s", Sized(), 0.01)
    (x, y), v = np.moveaxis(log["samples/plane"][0], -1, 0), log["samples/field"][0]
    a = x**2 + y**2
    np.testing.assert_allclose(v, np.stack([a * y, -a * x], -1), rtol=1e-9, atol=1e-12)


def test_the_window_leaves_out_the_end_of_an_escape() -> None:
    turns = np.exp(0.3j * np.arange(60)) * np.where(np.arange(60) < 45, 1.0, 10.0 ** np.arange(-44, 16))
    corners = window(np.stack([turns.real, turns.imag], -1)[:, None])
    assert 1 < np.abs(corners).max() < 200
    assert window(np.full((3, 1, 2), np.nan)).tolist() == [[-1, -1], [1, 1]]
    assert window(np.ones((3, 1, 2))).tolist() == [[0.5, 0.5], [1.5, 1.5]]
    points = mesh(np.array([[0.0, -1.0], [24.0, 1.0]]))
    np.testing.assert_allclose(points[[0, -1], [0, -1]], [[0.5, -1 + 1 / CELLS], [23.5, 1 - 1 / CELLS]], rtol=1e-15)
