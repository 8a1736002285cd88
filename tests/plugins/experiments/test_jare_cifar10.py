"""Scores and costs of JARE's six settings: what is measured on numbers made by hand, the settings, what is missing."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.registry.build import build
from counterplay.core.registry.experiment import resolve
from counterplay.core.registry.registry import make
from counterplay.plugins.experiments.images.jare_cifar10 import METHODS, SETTINGS, JareCifar10, solver_of
from counterplay.plugins.experiments.images.jare_cost import JareCost, _in_turns, game_of, ratios, steps_of

GAN_STEP = np.array([1.0, 2.0, 4.0])  # seconds in three rounds, of which only ratios may count


def verdicts(experiment: Any, found: Any) -> dict[str, str]:
    return {claim.name: claim.verdict(found) for claim in experiment.claims()}


def scored(scores: dict[str, list[float]]) -> dict[str, str]:
    """The verdicts on the scores of each method in the settings A to F; the FID is the lower the higher the score."""
    late = np.repeat([[0.0, 0.0], [1.0, 1.0]], [5, 10], axis=0)  # what comes before the last ten looks does not count
    logs = {
        f"{s}-{m}": {"metrics/inception_score": x * late, "metrics/fid": (99 - 9 * x) * late}
        for m in METHODS for s, x in zip(SETTINGS, scores[m], strict=True)
    }  # fmt: skip
    return verdicts(JareCifar10(), JareCifar10().measure(logs, {}))


def test_the_verdicts_on_scores_follow_the_order() -> None:
    as_said = {"gan": [6.0, 1.0, 5.0, 5.0, 3.0, 3.0], "sn": [7.0, 7.0, 4.0, 4.0, 5.0, 5.0],
               "conopt": [3.0, 4.0, 6.0, 6.5, 5.0, 5.0], "jare": [7.0, 6.5, 6.5, 6.5, 6.0, 6.0]}  # fmt: skip
    assert set(scored(as_said).values()) == {"agrees"}
    wrong = scored({**as_said, "jare": as_said["gan"], "sn": [4.0] * 6})
    assert wrong == {"robust": "disagrees", "own-sn": "partly", "own-conopt": "agrees"}


def test_the_settings_of_cifar10_are_those_of_the_code() -> None:
    there = JareCifar10(root="here")
    assert "a GPU" in there.missing("cpu") and there.missing("cuda") == ""
    runs = there.runs("paper")
    assert len(runs) == 24
    for run in ("A-sn", "C-conopt", "D-jare", "F-gan"):
        game, solver, regularizers = build(resolve(dict(runs[run])))
        assert (game.batch, game.network.filters, game.network.latent, solver.lr) == (64, 64, 128, 1e-4)
        assert solver.rule.name == ("tf-rmsprop" if run[0] == "D" else "adam")
        assert run[0] == "D" or solver.rule.betas == (0.5, 0.999)
        assert len(regularizers) == (run[2:] == "sn")
        assert getattr(solver, "gamma", None) == {"conopt": 10.0, "jare": 100.0}.get(run[2:])
    assert [runs[f"{s}-gan"]["game"]["network"]["name"] for s in "ABDEF"] == [
        "sngan-cnn", "sngan-cnn", "dcgan4-const", "resnet-v1", "resnet-v2"]  # fmt: skip


def test_the_verdicts_on_costs_follow_the_ratios() -> None:
    def costs(**over: float) -> dict[str, Any]:
        return {s: {m: (GAN_STEP * over.get(m, 1.0)).tolist() for m in METHODS} for s in SETTINGS}

    as_said = costs(sn=1.2, conopt=3.0, jare=1.4)
    assert ratios(as_said, "jare", "gan") == pytest.approx([1.4] * 6)
    assert set(verdicts(JareCost(), JareCost().measure({}, as_said)).values()) == {"agrees"}
    twice = verdicts(JareCost(), JareCost().measure({}, costs(sn=1.2, conopt=3.0, jare=2.0)))
    assert twice == {"below-conopt": "agrees", "on-par-with-sn": "disagrees", "jare-over-gan": "disagrees",
                     "sn-over-gan": "agrees"}  # fmt: skip
    once_slower = as_said | {"F": costs(sn=1.2, conopt=1.3, jare=1.4)["F"]}
    assert verdicts(JareCost(), JareCost().measure({}, once_slower))["below-conopt"] == "undecided", "not always lower"


def test_runs_take_their_steps_in_turn() -> None:
    taken: list[str] = []

    def run(name: str) -> Any:
        while True:
            taken.append(name)
            yield

    found = _in_turns({"a": run("a"), "b": run("b")}, rounds=2, steps=1)
    assert "".join(taken) == "aabbabba" and {name: len(x) for name, x in found.items()} == {"a": 2, "b": 2}


def test_what_is_timed_is_what_a_run_does() -> None:
    game, solver = game_of("C", "sn", 2, 2), make("solver", solver_of("C", "sn"))
    timed = list(islice(steps_of(Evaluator(game), solver), 3))[-1]
    played = cp.run(game, solver, steps=3, seed=0).params
    for i, tree in played.items():
        for name, x in tree.items():
            torch.testing.assert_close(timed[i][name], x)
