"""Runs that were recorded when core was one folder are read, gone on with and compared as those of today."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import add
from counterplay.core.provenance.description import describe
from counterplay.core.provenance.recorded_names import recorded_module
from counterplay.core.solver.step_rules import Momentum
from counterplay.core.spectra.spectrum import spectrum

OLD = Path(__file__).parent.parent / "support" / "old_runs"
LR = {"x": 0.09, "y": 0.01}


def path_of_momentum(steps: int) -> np.ndarray:
    """The points (steps + 1, 2) of the run "stopped", by hand: v = (2x + 10y, -10x - 2y), m = 0.9 m + v."""
    z, m, out = np.array([1.0, -0.5]), np.zeros(2), []
    for _ in range(steps + 1):
        out.append(z)
        m = 0.9 * m + np.array([2 * z[0] + 10 * z[1], -10 * z[0] - 2 * z[1]])
        z = z - np.array([LR["x"], LR["y"]]) * m
    return np.array(out)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD / "stopped", tmp_path / "stopped"))


def test_an_old_log_is_read(stopped: Path) -> None:
    log = cp.open_log(stopped)
    assert log.status["state"] == "interrupted" and log.status["step"] == 20
    np.testing.assert_allclose(log["step/parameters"], path_of_momentum(19), rtol=1e-12)
    ended = cp.open_log(OLD / "ended")
    assert ended.members == 2 and ended.length("step") == 11 and ended.status["state"] == "max_steps"
    np.testing.assert_allclose(np.sort(ended["spectrum/eigenvalues"].imag, axis=-1)[..., -1], 1.0, rtol=1e-12)


def test_an_old_checkpoint_is_gone_on_with(stopped: Path) -> None:
    result = cp.resume(stopped, allow_inexact=True)  # by whatever torch is here
    assert result.status == "max_steps" and result.steps == 40
    found = [result.params[i]["value"].item() for i in "xy"]
    np.testing.assert_allclose(found, path_of_momentum(40)[-1], rtol=1e-10)
    np.testing.assert_allclose(cp.open_log(stopped)["step/parameters"], path_of_momentum(40), rtol=1e-10)


def test_what_is_handed_back_is_what_an_old_run_was_begun_with(stopped: Path) -> None:
    game, solver = cp.make("game", "quadratic", b=10.0), cp.make("solver", "simgd", lr=LR, rule="momentum")
    assert cp.resume(stopped, game=game, solver=solver, allow_inexact=True).steps == 40


def test_descriptions_know_our_modules_by_their_first_names() -> None:
    """They stand in run.json, and in digests of code that uses them."""
    assert describe(add) == {"function": "counterplay.core.tree.add"}
    assert describe(Momentum)["class"] == "counterplay.core.rules.Momentum"
    assert describe(spectrum)["function"] == "counterplay.core.spectrum.spectrum"
    assert describe(cp.make("game", "mixture"))["class"] == "counterplay.games.mixture.Mixture"
    assert describe(cp.make("solver", "conopt"))["class"] == "counterplay.plugins.solvers.conopt.Conopt"
    assert describe(cp.game_from_losses)["function"] == "counterplay.core.adapters.game_from_losses"
    assert describe(torch.add) == "add"
    assert recorded_module("counterplay_example.core.mine") == "counterplay_example.core.mine"
