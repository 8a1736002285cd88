"""Summaries of every kind of run, as facts, as JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from counterplay.analysis.reader import open_log
from counterplay.analysis.summary import summarize, table
from counterplay.core.schema import Layout

from .conftest import Run
from .logs import written


def test_summary_has_the_facts(runs: dict[str, Path]) -> None:
    facts = summarize(open_log(runs["quadratic"]))
    log = open_log(runs["quadratic"])
    assert (facts["game"], facts["solver"], facts["seed"], facts["steps"]) == ("quadratic", "simgd", 0, 60)
    assert facts["losses"] == {"x": log["step/losses"][-1, 0], "y": log["step/losses"][-1, 1]}
    assert facts["spectrum"]["status"] == ["converged"] and facts["spectrum"]["count"] == 2
    assert facts["spectrum"]["max_modulus"] == pytest.approx(np.sqrt(96))
    assert facts["spectrum"]["update_radius"] == pytest.approx(0.96250, abs=1e-5)
    assert facts["inner"] is None and facts["cost"]["gradients"] == 60
    facts = summarize(open_log(runs["gan"]))
    assert facts["loss"] == "wgan" and facts["regularizers"] == ["r1"]
    assert facts["inner"]["not_converged"] == 1 and facts["inner"]["solves"] == 301
    assert facts["metrics"] == {"score": 3.0, "digit_share": [0.1] * 10}
    assert len(summarize(open_log(runs["ensemble"]))["losses"]["x"]) == 4


def test_summary_of_nan_is_strict_json(tmp_path: Path, cli: Run) -> None:
    nan = [complex(np.nan, np.nan)] * 2
    spectrum = {"step": 0, "eigenvalues": nan, "residuals": [np.nan] * 2, "status": [2, 2]}
    step = {"step": 0, "losses": [np.nan], "gradient_norms": [np.inf]}
    path = written(tmp_path / "run", Layout(("x",)), [("step", step), ("spectrum", spectrum)])

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    facts = json.loads(cli("summary", path, "--json")[1], parse_constant=refuse)
    assert facts["losses"] == {"x": None} and facts["spectrum"]["count"] == 0
    assert facts["spectrum"]["status"] == ["not_finite"]


def test_table_of_several_runs(runs: dict[str, Path]) -> None:
    text = table([summarize(open_log(path)) for path in runs.values()])
    assert len({len(line.split("  ")[0]) for line in text.splitlines()}) > 1
    for word in ("quadratic", "diverged", "The bound was passed.", "loss of generator", "spectral radius of F'"):
        assert word in text
    assert "\x1b" not in table([summarize(open_log(runs["gan"])) | {"game": "\x1b[31mred"}])
