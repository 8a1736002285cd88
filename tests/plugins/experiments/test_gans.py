"""What the experiments with networks measure, on logs made by hand, and verdicts that change with what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.experiments.experiment import Experiment
from counterplay.core.experiments.run_log import RunLog
from counterplay.plugins.experiments.gans import ring
from counterplay.plugins.experiments.gans.icr_account import account, sentence
from counterplay.plugins.experiments.gans.icr_overtraining import (
    STRUCK,
    TRAINED,
    IcrOvertraining,
    falls_and_rises,
    held,
)
from counterplay.plugins.experiments.gans.icr_pixels import displacement, distance, warped, with_square
from counterplay.plugins.experiments.gans.jare_ring import CHANGED, JareRing
from counterplay.plugins.experiments.gans.num_ring import NumRing, unstable
from counterplay.plugins.experiments.gans.references import drift_of

LOOKS = ring.LOOKS + 1


def on_the_ring(jumps: bool, members: int = 6) -> dict[str, np.ndarray]:
    """A log of a generator that is at one mode and then at another, or has its due at all modes."""
    shares = np.full((LOOKS, members, 8), 1 / 8)
    if jumps:
        shares = np.stack([np.eye(8)[(np.arange(members) + look) % 8] for look in range(LOOKS)])
    return {"metrics/mode_share": shares, "metrics/good_samples": np.full((LOOKS, members), 0.25)}


def verdicts(experiment: Experiment, found: Mapping[str, Any]) -> dict[str, str]:
    return {claim.name: claim.verdict(found) for claim in experiment.claims()}


def test_what_moves_and_what_is_held() -> None:
    jumps, stays = on_the_ring(True), on_the_ring(False)
    assert ring.moved(jumps).tolist() == [1.0] * 6 and ring.held(jumps).tolist() == [1.0] * 6
    assert ring.moved(stays).tolist() == [0.0] * 6 and ring.held(stays).tolist() == [8.0] * 6
    assert ring.good(stays).tolist() == [0.25] * 6
    two = np.array([[0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0, 0, 0]])
    half = {"metrics/mode_share": np.tile(two, (11, 1))[:LOOKS]}
    assert ring.moved(half).tolist() == [0.5] and ring.held(half).tolist() == [2.0], "a single run has no members"


def test_the_verdicts_on_rings_follow_what_the_methods_do() -> None:
    def of(simgd: bool, conopt: bool) -> dict[str, str]:
        logs = {"notebook_simgd": on_the_ring(simgd), "notebook_conopt": on_the_ring(conopt)}
        return verdicts(NumRing(), ring.figures(logs))

    right = of(True, False)
    assert right["notebook-jumps"] == right["notebook-covers"] == "agrees"
    broken = of(True, True)  # consensus optimization with gamma 0 is simultaneous descent
    assert broken["notebook-jumps"] == "agrees" and broken["notebook-covers"] == "disagrees"
    assert of(False, False)["notebook-jumps"] == "disagrees"


def test_the_setting_that_decides_is_seen() -> None:
    logs = {name: on_the_ring(name not in ("conopt", "jare", "width")) for name in ("code", "conopt", "jare", *CHANGED)}
    found = verdicts(JareRing(), JareRing().measure(logs, {}))
    assert {name for name, verdict in found.items() if verdict == "disagrees"} == {"jumps-width"}


def test_eigenvalues_on_the_unstable_side_are_counted() -> None:
    assert unstable([[-1.0, 0.5, 0.0, -1e-9, 2.0], [0.0, 1.0, 3.0, 0.0, 0.0]]) == 0.2
    assert unstable([[-1.0, 0.5, -0.02, 2.0], [0.0] * 4], 0.01) == 0.25


def losses(first: float, last: float) -> dict[str, np.ndarray]:
    """A log with a discriminator's loss that goes in a line, of three members, the last of which has lost its game."""
    loss = np.linspace(first, last, 101)[:, None, None] * np.ones((1, 3, 2))
    return {"step/losses": loss * np.array([1, 1, 0.01])[:, None]}


def test_the_verdicts_on_overtraining_follow_the_losses() -> None:
    logs = {
        "checkpoint": losses(1.0, 1.0), "overtrained": losses(1.0, 0.0), "joint": losses(1.0, 1.0),
        "overtrained-cgd": losses(1.0, 0.5), "joint-cgd": losses(1.0, 1.0),
        "strike-overtrained": losses(0.0, 4.0), "strike-checkpoint": losses(1.0, 2.0), "strike-cgd": losses(0.5, 1.0),
        "strike-joint-cgd": losses(1.0, 1.0),
    }  # fmt: skip
    assert logs.keys() == {"checkpoint", *TRAINED, *STRUCK} and held(logs).tolist() == [True, True, False]
    found = falls_and_rises(logs)
    assert found["rise_overtrained"].value == pytest.approx(3 * 0.03), "of 3 more in 100 steps, over steps 1 to 5"
    assert found["rise_cgd"].value == pytest.approx(-0.5 * 0.03)
    assert found["fall_overtrained"].value == pytest.approx(0.045), "the mean of the last tenth"
    assert found["fall_joint"].note.endswith("2 of 3 seeds have a checkpoint")
    right = verdicts(IcrOvertraining(), found)
    assert [right[c] for c in ("overtrained", "joint", "strikes-back", "cgd", "joint-cgd")] == ["agrees"] * 5
    swapped = {"overtrained": logs["joint"], "joint": logs["overtrained"], "strike-cgd": logs["strike-overtrained"]}
    wrong = verdicts(IcrOvertraining(), falls_and_rises(logs | swapped))
    assert wrong["overtrained"] == wrong["joint"] == wrong["cgd"] == "disagrees"


def test_the_account_of_a_point_from_its_eigenvalues() -> None:
    """D alone expands by eta_D times the lowest eigenvalue of its block; NaN pads the shorter block."""
    own = np.array([[[0.5, np.nan, np.nan], [-2.0, 1.0, 1e-9]]], dtype=complex)
    log = {"spectrum/eigenvalues": np.array([[0.1 + 2j, 0.1 - 2j, -0.3]]), "spectrum/block_eigenvalues": own,
           "spectrum/update_eigenvalues": np.array([[0.9 + 0.3j, 0.9 - 0.3j, 0.5]])}  # fmt: skip
    found = account(log)
    assert found["negative_own"] == 1 and found["lowest_own"] == -2.0 and found["negative_J"] == 1
    assert found["radius_alone"] == pytest.approx(1.2) and found["radius_joint"] == pytest.approx(0.9**0.5)
    assert found["rotating"] == pytest.approx(0.3 / 0.1**0.5)
    assert "D alone expands by 0.2 a step" in sentence(found) and "which holds it" in sentence(found)


def test_a_warp_moves_what_it_says_and_a_square_is_dark() -> None:
    ramp = np.repeat(np.arange(128.0)[None, :, None], 128, axis=0).repeat(3, axis=2)
    by = displacement((128, 128), 2.0)
    assert np.hypot(*by).max() == pytest.approx(2.0, abs=0.01)
    inner = slice(24, -24)  # splines reach far
    assert warped(ramp, 2.0)[inner, inner, 0] == pytest.approx(ramp[inner, inner, 0] + by[1, inner, inner], abs=1e-5)
    grey = np.full((128, 128, 3), 100.0)
    assert distance(grey, with_square(grey)) == pytest.approx(80 * 48 / 128), "80 shades on 48 of 128 squared"


def test_drift_is_zero_at_the_checkpoint_and_then_that_of_weights_and_logits(tmp_path: Path) -> None:
    game: Any = cp.make("game", "digits", network={"name": "mlp", "filters": 4, "latent": 3}, batch=8)
    solver = cp.make("solver", "simgd", lr={"generator": 0.0, "discriminator": 0.1})
    cp.run(game, solver, steps=4, members=2, checkpoint_every=2, out=tmp_path / "run", seed=0)
    found = drift_of(RunLog(tmp_path / "run"))
    assert found.steps.tolist() == [0, 2, 4] and found.fake.shape == (3, 2)
    assert not found.real[0].any() and not found.weights[0].any() and (found.real[1:] > 0).all()
    first, last = (cp.load_params(tmp_path / "run", step)["discriminator"] for step in (0, 4))
    for m in range(2):
        off = torch.cat([(last[k][m].double() - first[k][m].double()).flatten() for k in first])
        assert found.weights[-1, m] == pytest.approx(float(off.norm()), rel=1e-12)
