"""Metrics from checkpoints: exactly those that the run recorded, for every checkpoint, and refusals in sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp

from ..conftest import Run
from ..support.small_images import arrays_game

ASKED: dict[str, Any] = {"steps": 12, "sample_every": 4, "checkpoint_every": 4, "dtype": "float32"}
SOLVER = cp.make("solver", "simgd", lr=1e-2)
METRICS = [{"name": "fid", "samples": 60}, {"name": "inception-score", "samples": 60, "splits": 3}]


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("regularizers", [[], ["ema", "spectral-norm"]])
def test_figures_are_those_of_the_run(members: int | None, regularizers: list[str], tmp_path: Path) -> None:
    made = [cp.make("regularizer", name) for name in regularizers]
    game, asked = arrays_game(metrics=METRICS), {**ASKED, "members": members}
    cp.run(game, SOLVER, out=tmp_path / "run", regularizers=made, **asked)
    log = cp.open_log(tmp_path / "run")
    found = cp.evaluate(tmp_path / "run", step="all", game=game)
    assert [one.step for one in found] == log["metrics/step"].tolist() == [0, 4, 8, 12]
    for name in ("fid", "inception_score", "inception_score_std"):
        assert np.array_equal([one.figures[name] for one in found], log[f"metrics/{name}"])
        assert found[0].provenance[name] == log.variables[f"metrics/{name}"].attrs
    (newest,) = cp.evaluate(tmp_path / "run", ["fid"], game=game)  # the run's own, with its options
    assert newest.step == 12 and np.array_equal(newest.figures["fid"], found[-1].figures["fid"])
    assert newest.provenance["fid"]["samples"] == 60 and "inception_score" not in newest.figures
    if regularizers:  # what is shown is the average, of weights that are normalised
        (bare,) = cp.evaluate(tmp_path / "run", ["fid"], step=0, game=game)
        assert np.array_equal(bare.figures["fid"], found[0].figures["fid"])


def test_a_run_without_metrics(tmp_path: Path) -> None:
    cp.run(arrays_game(), SOLVER, out=tmp_path / "bare", **ASKED)
    cp.run(arrays_game(metrics=[{"name": "kid", "samples": 50}]), SOLVER, out=tmp_path / "own", **ASKED)
    kid = {"name": "kid", "samples": 50}
    (found,) = cp.evaluate(tmp_path / "bare", [kid], step=8, game=arrays_game())
    assert found.figures["kid"] == cp.open_log(tmp_path / "own")["metrics/kid"][2]
    (more,) = cp.evaluate(tmp_path / "bare", ["kid", "precision-recall"], samples=40, game=arrays_game())
    assert more.figures.keys() == {"kid", "kid_std", "precision", "recall"}
    assert {about["samples"] for about in more.provenance.values()} == {40}


def test_nothing_is_disturbed(tmp_path: Path) -> None:
    cp.run(arrays_game(), SOLVER, out=tmp_path / "run", **ASKED)
    before, files = torch.get_rng_state(), sorted(tmp_path.rglob("*"))
    cp.evaluate(tmp_path / "run", ["fid"], samples=40, game=arrays_game())
    assert torch.equal(before, torch.get_rng_state()) and torch.is_grad_enabled()
    assert sorted(tmp_path.rglob("*")) == files


def test_refusals(tmp_path: Path) -> None:
    game = arrays_game()
    cp.run(game, SOLVER, out=tmp_path / "run", **ASKED)
    for words, wrong in (
        (r"no checkpoint of step 5; it has those of 0, 4, 8, 12", {"metrics": ["fid"], "step": 5}),
        (r"no metrics of its own: name one", {}),
        (r"unknown metric 'fidd'; did you mean 'fid'", {"metrics": ["fidd"]}),
        (r"two of the metrics give fid", {"metrics": ["fid", {"name": "fid", "samples": 5}]}),
        (r"7 samples cannot be cut into 10", {"metrics": ["inception-score"], "samples": 7}),
    ):
        with pytest.raises(cp.UsageError, match=words):
            cp.evaluate(tmp_path / "run", game=game, **wrong)
    with pytest.raises(cp.UsageError, match=r"made in Python|put together in Python.*hand it back"):
        cp.evaluate(tmp_path / "run", ["fid"])
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["data_sources"]["data"]["sha256"] = "0" * 64
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(cp.UsageError, match="data is not what it was"):
        cp.evaluate(tmp_path / "run", ["fid"], game=game)


def test_the_command(cli: Run) -> None:
    words = ("-g", "data=digits", "-g", "network.filters=8", "-g", "batch=8", "--steps", 2, "--quiet")
    asked = ("-g", 'metrics=[{name="fid",samples=50}]', "--solver", "simgd", "-s", "lr=1e-3", "--out", "r")
    assert cli("run", "images", *words, *asked)[0] == 0
    recorded = cp.open_log("r")["metrics/fid"]
    code, text, _ = cli("evaluate", "r")
    assert code == 0 and f"{recorded[-1]:.6g}" in text and "50 samples" in text and "classifier" in text
    code, text, _ = cli("evaluate", "r", "--step", "all", "--metric", "fid", "--json")
    found = json.loads(text)
    assert code == 0 and [one["figures"]["fid"] for one in found] == recorded[[0, -1]].tolist()
    assert found[0]["provenance"]["fid"]["samples"] == 50
    text = cli("evaluate", "r", "--metric", "kid", "--samples", 30, "--json")[1]
    assert json.loads(text)[0]["provenance"]["kid"]["samples"] == 30
    assert cli("run", "digits", "--solver", "simgd", "-g", "hidden=8", "--steps", 1, "--out", "d", "--quiet")[0] == 0
    code, text, why = cli("evaluate", "d", "--metric", "kid", "--samples", 30, "--json")
    assert code == 0 and json.loads(text)[0]["figures"].keys() == {"kid", "kid_std"}, (
        why
    )  # not those of the game itself
    for wrong, said in ((("--step", "last"), "or all"), (("--metric", "nothing"), "unknown metric")):
        code, _, why = cli("evaluate", "r", *wrong)
        assert code == 2 and said in why
    assert cli("run", "quadratic", "--solver", "simgd", "--steps", 2, "--out", "q", "--quiet")[0] == 0
    code, _, why = cli("evaluate", "q", "--metric", "fid")
    assert code == 2 and "the game of q, quadratic, has no images" in why
    assert cli("evaluate", "nowhere", "--metric", "fid")[0] == 2
