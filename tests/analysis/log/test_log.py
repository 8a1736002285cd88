"""Reading logs: lazily, without torch, while they are being written, and never with a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from counterplay.analysis import optional
from counterplay.analysis.commands.summary import summarize
from counterplay.analysis.log import log as reader
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog, UsageError
from counterplay.core.log.blocks import column
from counterplay.core.log.schema import Layout
from counterplay.core.log.writer import LogWriter
from counterplay.core.storage.lock import acquire
from counterplay.core.storage.run_directory import RunDirectory


def test_looking_up_a_variable_reads_that_variable_alone(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = column

    def spy(pieces, key, start, stop, *rest):
        read.append(f"{key} {start}:{stop}")
        return original(pieces, key, start, stop, *rest)

    monkeypatch.setattr(reader, "column", spy)
    log = open_log(runs["quadratic"])
    data = log.dataset()
    assert "step/losses" in log and len(log) and list(log) and repr(log) and log.shape("step/losses") == (61, 2)
    assert read == ["step/step 0:61"]  # an index is looked up in, so xarray wants it at once
    read.clear()
    assert log["step/losses"].shape == (61, 2)
    assert log.read("step/losses", -1).shape == (1, 2)
    assert data["losses"].isel(step=slice(2, 5)).values.shape == (3, 2)
    assert data["losses"].isel(step=-1, player=0).values.shape == ()
    assert read == ["step/losses 0:61", "step/losses 60:61", "step/losses 2:5", "step/losses 60:61"]


def test_datasets_index_as_arrays_do(runs: dict[str, Path]) -> None:
    log = open_log(runs["quadratic"])
    whole, lazy = log["step/parameters"], log.dataset()["parameters"]
    indices: list[dict] = [{"step": slice(None, None, 7)}, {"step": [3, 1, 1]}, {"step": slice(9, 2, -1)}, {"step": 60}]
    for index in indices:
        assert np.array_equal(lazy.isel(index).values, whole[index["step"]])
    assert np.array_equal(log.dataset()["losses"].sel(player="y"), log["step/losses"][:, 1])


def test_frames(runs: dict[str, Path]) -> None:
    frame = open_log(runs["quadratic"]).frame()
    assert frame.index.name == "step" and "losses[x]" in frame and "parameters[y/value]" in frame
    ensemble = open_log(runs["ensemble"]).frame()
    assert len(ensemble) == 61 * 4
    log = open_log(runs["ensemble"])
    assert ensemble.loc[(60, 3), "losses[y]"] == log["step/losses"][60, 3, 1]
    assert ensemble.loc[(60, 3), "gradients"] == 60
    assert "digit_share[9]" in open_log(runs["gan"]).frame("metrics")
    assert "eigenvalues[0]" in open_log(runs["gan"]).frame("spectrum")


def test_a_run_under_way_can_be_read_and_merged_under_the_reader(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, {"experiment": {"game": "g"}})
    run.write_status("running", 0)
    with acquire(tmp_path):
        assert summarize(open_log(tmp_path))["status"] == "running"  # before the first block
    assert summarize(open_log(tmp_path))["status"] == "crashed"  # its owner is gone and it says otherwise
    writer = LogWriter(tmp_path, Layout(("x",)))
    for step in range(4):
        writer.append("step", {"step": step, "losses": [float(step)]})
        writer.seal()
    log = open_log(tmp_path)
    assert list(open_log(tmp_path / "log")["step/step"]) == [0, 1, 2, 3]
    assert list(open_log(tmp_path / "log" / "000002.h5")["step/step"]) == [1]
    writer.append("step", {"step": 4, "losses": [4.0]})
    writer.finish()
    assert list(log["step/losses"][:, 0]) == [0, 1, 2, 3]  # what was there when it was opened, now from log.h5
    assert len(open_log(tmp_path)["step/step"]) == 5


def test_mistakes_are_told(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no"):
        open_log(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not a run directory"):
        open_log(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'step/losses'"):
        open_log(runs["quadratic"])["step/loses"]
    with pytest.raises(UsageError, match="no group 'samples'"):
        open_log(runs["quadratic"]).dataset("samples")
    (tmp_path / "log.h5").write_text("no")
    with pytest.raises(BadLog, match=r"log\.h5"):
        open_log(tmp_path)


def test_a_missing_extra_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"pip install 'counterplay\[analysis\]'"):
        optional.need("a_module_nobody_has", "log.frame()")
    monkeypatch.setitem(sys.modules, "torch", None)  # which the extra would install
    with pytest.raises(UsageError, match=r"pip install a_module_nobody_has$"):
        optional.need("a_module_nobody_has", "log.frame()")


def test_reading_imports_no_torch_and_summary_no_matplotlib(runs: dict[str, Path]) -> None:
    code = (
        "import sys, counterplay as cp; log = cp.open_log(sys.argv[1]); log['step/losses']\n"
        "log.dataset(); log.frame()\n"
        "from counterplay.analysis.commands.summary import summarize; summarize(log)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from counterplay.analysis.commands.report import html; html([log]); assert 'matplotlib' in sys.modules\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(runs["quadratic"])], check=True)
