"""Metrics of images in a run: recorded with what they were measured by, for each member, and resumed bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.analysis.commands.summary import rows, summarize

from ..conftest import Run
from ..support.small_images import arrays_game

ASKED: dict[str, Any] = {"steps": 12, "sample_every": 4, "checkpoint_every": 3, "dtype": "float32"}
SOLVER = cp.make("solver", "simgd", lr=1e-2)


def test_what_measured_them_is_recorded(tmp_path: Path) -> None:
    score = {"name": "inception-score", "samples": 60, "splits": 3}
    game = arrays_game(metrics=[{"name": "fid", "samples": 60}, score])
    cp.run(game, SOLVER, out=tmp_path / "run", **ASKED)
    log = cp.open_log(tmp_path / "run", sandbox=True)
    assert log["metrics/fid"].shape == (4,) and np.isfinite(log["metrics/fid"]).all()
    for name in ("fid", "inception_score", "inception_score_std"):
        assert dict(log.variables[f"metrics/{name}"].attrs) == game.metric_provenance()[name]
    about = log.variables["metrics/fid"].attrs
    assert about["extractor"] == "classifier" and about["samples"] == 60 and about["real_samples"] == 80
    assert log.dataset("metrics").fid.attrs["extractor_sha256"] == about["extractor_sha256"]
    shown = rows(summarize(log))
    assert shown["fid"].endswith(f"(classifier {str(about['extractor_sha256'])[:8]}, 60 samples)")
    assert summarize(log)["metric_provenance"]["fid"] == about
    assert json.loads((tmp_path / "run" / "run.json").read_text())["metrics"]["fid"] == about


def test_each_member_has_its_figures(tmp_path: Path) -> None:
    game = arrays_game(metrics=[{"name": "fid", "samples": 60}])
    cp.run(game, SOLVER, out=tmp_path / "two", members=2, **ASKED)
    cp.run(game, SOLVER, out=tmp_path / "one", **ASKED)
    two, one = (cp.open_log(tmp_path / name)["metrics/fid"] for name in ("two", "one"))
    assert two.shape == (4, 2) and len(set(two[0])) == 2
    assert two[0, 0] == pytest.approx(one[0], rel=1e-5)


def test_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    game = arrays_game(metrics=[{"name": "fid", "samples": 60}, {"name": "kid", "samples": 60, "subset_size": 20}])
    whole = cp.run(game, SOLVER, out=tmp_path / "whole", **ASKED)
    stop = iter([False] * 7 + [True] * 99)
    cp.run(game, SOLVER, out=tmp_path / "run", stop=lambda: next(stop), **ASKED)
    again = cp.resume(tmp_path / "run", game=game)
    one, other = cp.open_log(tmp_path / "whole"), cp.open_log(tmp_path / "run")
    for key in ("metrics/step", "metrics/fid", "metrics/kid", "metrics/kid_std", "step/losses"):
        assert np.array_equal(one[key], other[key]), key
    assert one.variables["metrics/fid"].attrs == other.variables["metrics/fid"].attrs
    plain = cp.run(arrays_game(), SOLVER, **ASKED)  # and metrics change nothing in the run
    for result in (again, plain):
        for player, tree in result.params.items():
            assert all(x.equal(whole.params[player][name]) for name, x in tree.items())


def test_another_extractor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    game = arrays_game(metrics=[{"name": "fid", "samples": 60}])
    stop = iter([False] * 7 + [True] * 99)
    cp.run(game, SOLVER, out=tmp_path / "run", stop=lambda: next(stop), **ASKED)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["metrics"]["fid"]["extractor_sha256"] = "0" * 64
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(cp.UsageError, match="fid would be measured by another extractor"):
        cp.resume(tmp_path / "run", game=game)
    assert cp.resume(tmp_path / "run", game=game, allow_inexact=True).status == "max_steps"
    assert "another extractor" in cp.open_log(tmp_path / "run").attrs["inexact"]


def test_metrics_can_be_typed(cli: Run) -> None:
    words = ("run", "images", "--solver", "simgd", "-s", "lr=1e-3", "--steps", 2, "--out", "r")
    code, _, said = cli(*words, "-g", 'metrics=[{name="fid",samples=50},{name="kid",samples=40}]', "-g", "data=digits")
    assert code == 0, said
    log = cp.open_log("r")
    assert log.variables["metrics/kid"].attrs["samples"] == 40
    assert "samples" in cli("summary", "r")[1]
    assert cli("plot", "metrics", "r", "-o", "m.png")[0] == 0
    assert cli(*words[:-1], "s", "-g", "metrics=[fidd]")[0] == 2
