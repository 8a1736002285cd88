"""``counterplay log``: what a run left behind is verified, merged and exported."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterplay.analysis.log.export import harmless
from counterplay.analysis.log.log import open_log
from counterplay.analysis.log.verify import verify
from counterplay.core.log.blocks import blocks_of
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.log.schema import Layout, Variable
from counterplay.core.storage.lock import acquire
from counterplay.core.storage.run_directory import RunDirectory

from ...conftest import Run
from ...support.logs import flip, interrupted, written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return interrupted(tmp_path / "run")


# verify


def test_a_good_run_is_good(run: Path, cli: Run) -> None:
    code, said, _ = cli("log", "verify", run)
    assert code == 0 and "BAD" not in said and "All 9 things are good." in said
    for thing in ("run.json", "status.json", "000001.h5", "000003.h5", "step-20"):
        assert f"good  {run}" in said and thing in said
    assert cli("log", "verify", run / "log" / "000002.h5", run)[0] == 0
    assert cli("log", "verify", run.with_name("none"))[0] == 2
    assert cli("log", "verify", run.parent)[0] == 2


def drop_block(run: Path) -> None:
    (run / "log" / "000002.h5").unlink()


def first_block_twice(run: Path) -> None:
    shutil.copy(run / "log" / "000001.h5", run / "log" / "000004.h5")


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run.json": (lambda run: (run / "run.json").unlink(), "does not say what was run"),
    "run.json": (lambda run: (run / "run.json").write_text("{"), "not valid JSON"),
    "status.json": (lambda run: (run / "status.json").write_text('{"state": "fine", "step": 3}'), "no run is 'fine'"),
    "early end": (lambda run: RunDirectory(run).write_status("interrupted", 20), "rows of step 29"),
    "block": (lambda run: flip(run / "log" / "000002.h5"), "000002.h5 is damaged: its sha256"),
    "lost block": (drop_block, "has no block 000002"),
    "block twice": (first_block_twice, "a step of /step twice"),
    "tensors": (lambda run: flip(run / "checkpoints" / "step-10" / "tensors.safetensors"), "its sha256 sum is not"),
    "state": (lambda run: flip(run / "checkpoints" / "step-20" / "state.json"), "state.json is damaged"),
    "manifest": (lambda run: flip(run / "checkpoints" / "step-0" / "manifest.json"), "manifest"),
    "half": (lambda run: (run / "checkpoints" / "step-0" / "state.json").unlink(), "cannot be read: No such file"),
    "link": (lambda run: (run / "checkpoints" / "step-3").symlink_to("/etc"), "cannot be read: No such file"),
}


@pytest.mark.parametrize("name", [pytest.param(h, marks=[pytest.mark.slow] * (i % 2)) for i, h in enumerate(HARMS)])
def test_what_is_bad_is_named(run: Path, files: Sandbox, name: str) -> None:
    harm, words = HARMS[name]
    harm(run)
    (bad,) = [said for good, _, said in verify(run, files) if not good]
    assert words in bad


def test_a_bad_run_ends_with_65_and_a_sentence(run: Path, cli: Run) -> None:
    drop_block(run)
    code, said, error = cli("log", "verify", run)
    assert code == 65 and f"BAD   {run}: the log as a whole" in said
    assert error.startswith("Error: 1 of 8 things are bad. The first:") and len(error.splitlines()) == 1


# merge


def test_a_run_that_has_ended_is_merged(run: Path, cli: Run) -> None:
    before = {key: open_log(run)[key] for key in open_log(run)}
    code, _, error = cli("log", "merge", run)
    assert code == 2 and "can go on" in error and "--to" in error and len(blocks_of(run)) == 3
    copy = run.parent / "copy.h5"
    assert cli("log", "merge", run, "--to", copy)[0] == 0 and len(blocks_of(run)) == 3
    RunDirectory(run).write_status("max_steps", 29)
    with acquire(run):
        code, _, error = cli("log", "merge", run)
        assert code == 73 and str(os.getpid()) in error and len(blocks_of(run)) == 3
    code, said, _ = cli("log", "merge", run)
    assert code == 0 and str(run / "log.h5") in said and not (run / "log").exists()
    for path in (run, copy):
        log = open_log(path)
        assert all(log[key].tobytes() == before[key].tobytes() for key in before) and len(log) == len(before)
    assert cli("log", "merge", run)[0] == 0  # again
    assert cli("log", "merge", run, "--to", copy)[0] == 2 and cli("log", "merge", run.parent)[0] == 2
    assert cli("log", "merge", run, "--to", copy, "--force")[0] == 0


def test_a_bad_block_is_not_merged(run: Path, cli: Run) -> None:
    RunDirectory(run).write_status("max_steps", 29)
    flip(run / "log" / "000002.h5")
    assert cli("log", "merge", run)[0] == 65
    assert len(blocks_of(run)) == 3 and not (run / "log.h5").exists()


# export


def test_csv(run: Path, cli: Run) -> None:
    file = run.parent / "a.csv"
    assert cli("log", "export", run, "--to", file) == (0, f"Wrote {file}\n", "")
    head, *rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8")))
    assert head == ["step", "losses[x]", "losses[=y,]", "wall_seconds"]
    assert np.array_equal(np.array([row[1:3] for row in rows], dtype=float), open_log(run)["step/losses"])
    assert rows[7][0] == "7" and rows[0][3] == "inf"
    assert cli("log", "export", run, "--to", file, "--group", "spectrum")[0] == 2  # it exists
    assert cli("log", "export", run, "--to", file, "--group", "spectrum", "--force")[0] == 0
    head, first, *_ = csv.reader(io.StringIO(file.read_text(encoding="utf-8")))
    cells = dict(zip(head, first, strict=True))
    assert (cells["eigenvalues[1].re"], cells["eigenvalues[1].im"], cells["residuals[1]"]) == ("-0.0", "-3.0", "nan")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", " =1", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    made = harmless(cell)
    assert made.lstrip()[0] not in "=+-@" and made.isprintable()
    assert harmless("losses[x]") == "losses[x]"


def test_json_and_npz(run: Path, cli: Run) -> None:
    log = open_log(run)
    file = run.parent / "a.json"
    assert cli("log", "export", run, "--to", file, "--group", "spectrum")[0] == 0
    found = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda text: pytest.fail(text))
    about = found["variables"]["eigenvalues"]
    assert about["dimensions"] == ["spectrum", "mode"] and about["values"][2][0] == {"re": 1.0, "im": 2.0}
    assert found["variables"]["residuals"]["values"][0] == [0.0, None] and found["experiment"] == {"game": "quadratic"}
    file = run.parent / "a.npz"
    assert cli("log", "export", run, "--to", file)[0] == 0
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["losses"].tobytes() == log["step/losses"].tobytes() and list(arrays["player"]) == ["x", "=y,"]


def test_beside_a_metric_stands_what_measured_it(tmp_path: Path, cli: Run) -> None:
    """In every format: a number without its extractor and count is never written."""
    about: dict[str, Any] = {"extractor": "=net.pt", "samples": 500, "extractor_accuracy": 0.5}
    fid = Variable("fid", ("metrics", "member"), "<f8", "fid", attrs=about)
    rows = [("metrics", {"step": n, "fid": [n + 0.25, n + 0.5]}) for n in range(2)]
    run = written(tmp_path / "run", Layout(("g",), members=2, metrics=(fid,)), rows, {"experiment": {}})
    for name in ("a.csv", "a.json", "a.npz"):
        assert cli("log", "export", run, "--group", "metrics", "--to", tmp_path / name)[0] == 0
    head, *cells = csv.reader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8")))
    assert head == ["step", "member", "fid", "fid.extractor", "fid.extractor_accuracy", "fid.samples"]
    assert cells[-1] == ["1", "1", "1.5", "'=net.pt", "0.5", "500"] and len(cells) == 4
    assert json.loads((tmp_path / "a.json").read_text())["variables"]["fid"]["attributes"] == about
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert {k: arrays[f"fid.{k}"].item() for k in about} == about


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--to", "a.xls"], 2, "none of the endings .csv, .json, .npz"),
        (["--to", "a.csv", "--group", "steps"], 2, "did you mean 'step'"),
        (["--to", "none/a.csv"], 74, "none"),
        (["--to", "."], 2, "none of"),
        ([], 2, "--to"),
    ],
)
def test_mistakes_are_told(run: Path, cli: Run, words: list[str], code: int, said: str) -> None:
    found, _, error = cli("log", "export", run, *words)
    assert found == code and said in error
