"""What is measured of the image GANs of The numerics of GANs, on logs made by hand; their settings; what they lack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterplay.core.registry.build import build
from counterplay.core.registry.experiment import resolve
from counterplay.games.data.digit_images import load_digits
from counterplay.games.images.digits import _judged
from counterplay.plugins.experiments.images.num_faces import NumFaces
from counterplay.plugins.experiments.images.num_images import REAL, NumImages, wave, way

MEMBERS = 6


def played(wave: float, end: float) -> dict[str, np.ndarray]:
    """A log whose second loss goes up and down by ``wave`` in the second half; its score goes from 1 to ``end``."""
    losses = np.ones((20, MEMBERS, 2))
    losses[10:, :, 1] += wave * np.where(np.arange(10) % 2, 1, -1)[:, None]
    scores = np.concatenate([np.ones((1, MEMBERS)), np.full((8, MEMBERS), end)])
    return {"step/losses": losses, "metrics/digit_score": scores}


def verdicts(experiment: Any, logs: Any) -> dict[str, str]:
    found = experiment.measure(logs, {})
    return {claim.name: claim.verdict(found) for claim in experiment.claims()}


def test_waves_and_the_way_to_real_images() -> None:
    half = played(0.25, (1 + REAL["digit_score"]) / 2)
    assert wave(half) == pytest.approx([0.25] * MEMBERS) and way(half) == pytest.approx([0.5] * MEMBERS)


def test_the_score_of_real_digits() -> None:
    images, _ = load_digits()
    assert float(_judged(images)["digit_score"]) == pytest.approx(REAL["digit_score"], abs=0.01)


def test_the_verdicts_on_images_follow_losses_and_scores() -> None:
    logs = {"standard-conopt": played(0.01, 6.0), "standard-altgd": played(0.1, 5.0), "js-conopt": played(0.01, 6.0),
            "indicator-conopt": played(0.01, 2.0)}  # fmt: skip
    assert verdicts(NumImages(), logs) == {
        "calm": "agrees", "wild": "agrees", "score": "agrees", "trains-no-bn": "not run here",
        "trains-standard": "agrees", "trains-js": "agrees", "trains-indicator": "disagrees",
        "struggles": "not run here",
    }  # fmt: skip
    altgd, conopt = logs["standard-altgd"], logs["standard-conopt"]
    swapped = verdicts(NumImages(), logs | {"standard-altgd": conopt, "standard-conopt": altgd})
    assert [swapped[name] for name in ("calm", "wild", "score")] == ["disagrees"] * 3


def test_the_runs_of_images_have_the_settings_of_the_code() -> None:
    runs = NumImages(root="here").runs("paper")
    assert len(runs) == 13
    for run in ("dcgan-altgd", "js-conopt"):
        game, solver, _ = build(resolve(dict(table := runs[run])))
        assert (table["steps"], solver.lr, solver.rule.name) == (150_000, 1e-4, "tf-rmsprop")
        assert (game.batch, game.network.filters, game.network.latent) == (64, 64, 256)
        assert solver.gamma == 10.0 if table["solver"]["name"] == "conopt" else not hasattr(solver, "gamma")
    games = {run: (table["game"]["network"]["name"], table["game"]["loss"]) for run, table in runs.items()}
    assert games["js-altgd"] == ("dcgan4-const", "saturating")
    assert games["indicator-conopt"] == ("dcgan4-const", "indicator")
    assert games["dcgan-simgd"] == ("dcgan4", "non-saturating") and games["no-bn-conopt"][0] == "dcgan4-nobn"


def test_the_verdicts_on_faces_follow_fid_recall_and_change() -> None:
    def log(fid: float, recall: float, change: float) -> dict[str, np.ndarray]:
        images = change * np.arange(7.0)[:, None, None, None, None, None] * np.ones((2, 5, 3, 4, 4))
        fids, recalls = np.outer([400.0] + [fid] * 6, [1, 1]), np.full((7, 2), recall)
        return {"metrics/fid": fids, "metrics/recall": recalls, "samples/images": images}

    logs = {"simgd": log(380, 0.0, 0.0), "altgd": log(200, 0.1, 0.5), "conopt": log(40, 0.5, 0.1)}
    assert set(verdicts(NumFaces(), logs).values()) == {"agrees"}
    found = NumFaces().measure(logs, {})
    assert found["change_over_conopt"].value == pytest.approx(5) and found["gained_conopt"].value == pytest.approx(0.9)
    wrong = verdicts(NumFaces(), logs | {"conopt": logs["altgd"], "altgd": logs["conopt"]})
    assert wrong == {"simgd": "agrees", "altgd": "partly", "collapse": "disagrees", "conopt": "disagrees"}


def test_the_runs_of_faces_have_the_settings_of_the_code() -> None:
    there = NumFaces(root="here")
    assert "a GPU" in there.missing("cpu") and there.missing("cuda") == ""
    game, *_ = build(resolve(dict(there.runs("paper")["altgd"])))
    network = game.network
    assert (network.name, network.filters, network.latent, game.batch) == ("resnet-const", 128, 256, 128)
