"""What a small log can ask of its reader: no more memory or time than its size allows, and no odd numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from counterplay.analysis.commands.report import write_report
from counterplay.analysis.commands.summary import rows, summarize, table
from counterplay.analysis.figures import metrics
from counterplay.analysis.figures.plot import plot
from counterplay.analysis.log import export as exporting
from counterplay.analysis.log.export import export
from counterplay.analysis.log.log import open_log
from counterplay.analysis.log.merge import merge
from counterplay.core.errors import BadLog, UsageError
from counterplay.core.log import hdf5
from counterplay.core.log.safety import check_open
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.log.schema import MAX_VARIABLES, Layout, Variable
from counterplay.core.log.writer import LogWriter
from counterplay.core.storage.atomic import write_atomic
from counterplay.core.storage.lock import acquire
from counterplay.core.storage.run_directory import RunDirectory

from ..support import logs
from ..support.hostile import in_log
from ..support.logs import look, written


def plant(path: Path, name: str, data: Any = None, dims: str = "metrics", **how: Any) -> Path:
    """Put a metric into the log of ``path``."""

    def change(f: h5py.File, away: Path) -> None:
        group = f["metrics"]
        group.create_dataset(name, **({"data": data} if data is not None else how)).attrs["dimensions"] = dims

    in_log(change)(path, path)
    return path


# What a file claims


def test_variables_together_claim_no_more_than_the_file_can_hold(run: Path, files: Sandbox) -> None:
    def change(f: h5py.File, away: Path) -> None:
        for i in range(20):  # of a megabyte each, which is free, and none of it in the file
            f["metrics"].create_dataset(f"m{i}", shape=(1 << 17,), dtype="<f8").attrs["dimensions"] = "metrics"

    in_log(change)(run, run)
    for how in (files, False):
        with pytest.raises(BadLog, match=r"/metrics/m\d+ and those before it claim [\d,]+ bytes in a file of"):
            open_log(run, sandbox=how)


def test_a_file_has_so_many_variables(run: Path, files: Sandbox) -> None:
    def change(f: h5py.File, away: Path) -> None:
        for i in range(MAX_VARIABLES):
            f["metrics"].create_dataset(f"m{i}", data=np.zeros(1)).attrs["dimensions"] = "metrics"

    in_log(change)(run, run)
    with pytest.raises(BadLog, match="one of more than 500 variables and axes"):
        open_log(run, sandbox=files)


def test_the_writer_refuses_as_many(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, Layout(("x", "y")))
    most = MAX_VARIABLES - 10
    writer.append("metrics", {"step": 0, **{f"m{i}": 1.0 for i in range(most)}})
    with pytest.raises(UsageError, match="more than the 500 variables and axes"):
        writer.append("metrics", {"step": 1, **{f"n{i}": [1.0] for i in range(5)}})
    writer.seal()
    assert len(open_log(tmp_path)) > most


def test_a_file_is_walked_once_until_it_is_written_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[Path | str] = []
    monkeypatch.setattr(hdf5, "check_open", lambda file, path: walks.append(path) or check_open(file, path))
    look(open_log(run))
    look(open_log(run))
    assert len(walks) == 1
    plant(run, "odd", shape=(1 << 31,), dtype="<f8")
    with pytest.raises(BadLog, match="claims"):
        open_log(run)
    assert len(walks) == 2


def test_a_figure_has_so_many_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("metrics", {"step": t, **{f"m{i}": float(t) for i in range(7)}}) for t in range(3)]
    path = written(tmp_path / "run", Layout(("x", "y")), rows)
    monkeypatch.setattr(metrics, "MAX_PANELS", 4)
    drawn = plot("metrics", path)
    assert len(drawn.axes) == 4 and drawn.get_suptitle().endswith("(and 3 more metrics)")


# Metrics that no writer writes

ODD = {
    "long double": (np.ones(1, "g"), "metrics", "which is no number of a log"),
    "half": (np.ones(1, "f2"), "metrics", "which is no number of a log"),
    "turned": (np.ones(1, ">f8"), "metrics", "which is no number of a log"),
    "unsigned": (np.ones(1, "u8"), "metrics", "which is no number of a log"),
    "complex": (np.ones((1, 3), "c16"), "metrics k", "which is no number of a log"),
    "empty": (np.ones((1, 0)), "metrics k", "the axis 'k' of /metrics/odd is empty"),
    "step": (np.ones((1, 3)), "metrics step", "the axis 'step' of /metrics/odd is called as another"),
    "twice": (np.ones((1, 1)), "metrics metrics", "the axis 'metrics' of /metrics/odd is called as another"),
    "another": (np.ones((1, 3)), "metrics score", "the axis 'score' of /metrics/odd is called as another"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (i % 2)) for i, n in enumerate(ODD)])
def test_an_odd_metric_is_damage(run: Path, files: Sandbox, name: str) -> None:
    data, dims, said = ODD[name]
    plant(run, "odd", data, dims)
    for how in (files, False):
        with pytest.raises(BadLog, match=re.escape(said)):
            open_log(run, sandbox=how)


@pytest.mark.parametrize(
    "metric, value, said",
    [("empty", [], "got no number"), ("a", [1.0], "has the name of a variable"), ("b", [1.0], "has the name of a v")],
)
def test_the_writer_refuses_what_no_reader_takes(tmp_path: Path, metric: str, value: list[float], said: str) -> None:
    axes = {"a": ("metrics", "step"), "b": ("metrics", "score")}
    declared = tuple(Variable(name, dims, "<f8", name) for name, dims in axes.items())
    writer = LogWriter(tmp_path, Layout(("x", "y"), metrics=declared))
    with pytest.raises(UsageError, match=said):
        writer.append("metrics", {"step": 0, "score": 1.0, metric: value})


def test_a_game_without_a_number_has_a_log(tmp_path: Path) -> None:
    some: list[tuple[str, dict[str, Any]]] = [
        ("step", {"step": t, **{f"{k}_norms": [0.0, 0.0] for k in ("gradient", "parameter")}, "parameters": []})
        for t in range(3)
    ]
    path = written(tmp_path / "run", Layout(("x", "y"), parameters=()), some, {}, ("max_steps", 2))
    assert open_log(path)["step/parameters"].shape == (3, 0)
    assert "gradient norm of x" in table([summarize(open_log(path))])
    assert write_report([path]).exists()


# Export by parts


@pytest.mark.parametrize("members", [2, pytest.param(None, marks=pytest.mark.slow)])
def test_parts_do_not_show(tmp_path: Path, members: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(logs.quadratic(tmp_path / "run", members))
    for ending in (".csv", ".json"):
        monkeypatch.undo()
        files = []
        for part in (16 << 20, 500):
            monkeypatch.setattr(exporting, "_PART", part)
            files.append([export(log, g, tmp_path / f"x{ending}", force=True).read_bytes() for g in log.groups])
        assert files[0] == files[1]
    found = json.loads(export(log, "step", tmp_path / "x.json", force=True).read_bytes())
    assert np.array_equal(found["variables"]["parameters"]["values"], log["step/parameters"])
    cells = list(csv.DictReader(io.StringIO(export(log, "step", tmp_path / "x.csv", force=True).read_text())))
    assert len(cells) == log.length("step") * (members or 1)
    assert float(cells[-1]["losses[y]"]) == log["step/losses"].reshape(-1, 2)[-1, 1]


def test_csv_reads_no_more_than_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, most = open_log(logs.quadratic(tmp_path / "run")), []
    monkeypatch.setattr(exporting, "_PART", 500)
    read = log.read
    monkeypatch.setattr(log, "read", lambda *at: most.append(read(*at).nbytes) or read(*at))
    for ending in (".csv", ".json"):
        export(log, "step", tmp_path / f"x{ending}")
    assert 0 < max(most) <= 500 < log["step/losses"].nbytes
    assert len(most) > 2 * len(log)


def test_what_is_too_large_for_a_format_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(logs.quadratic(tmp_path / "run"))
    monkeypatch.setattr(exporting, "MOST", 1000)
    with pytest.raises(UsageError, match=r"bytes of step, and an \.npz file gets 1,000"):
        export(log, "step", tmp_path / "x.npz")
    monkeypatch.setattr(exporting, "MAX_COLUMNS", 3)
    with pytest.raises(UsageError, match="columns of step, and a table 3"):
        export(log, "step", tmp_path / "x.csv")
    assert not list(tmp_path.glob("*x.*"))


def test_parts_that_fail_to_come_leave_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise BadLog("It is damaged.")

    write_atomic(tmp_path / "file", b"old")
    with pytest.raises(BadLog):
        write_atomic(tmp_path / "file", broken())
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


# Where a run stands


@pytest.mark.parametrize("held", [True, False])
def test_a_run_under_way_or_crashed_stands_at_its_last_row(run: Path, held: bool) -> None:
    RunDirectory(run).write_status("running", 0)
    lock = acquire(run) if held else None
    facts = summarize(open_log(run))
    assert (facts["status"], facts["steps"]) == ("running" if held else "crashed", 299)
    if lock is not None:
        lock.close()
    with pytest.raises(UsageError, match="stopped at step 299 and can go on"):
        merge(run)
    RunDirectory(run).write_status("running", 400)
    assert summarize(open_log(run))["steps"] == 400
    RunDirectory(run).write_status("diverged", 7)
    assert summarize(open_log(run))["steps"] == 7


# Extreme numbers


@pytest.mark.parametrize("members", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_the_largest_numbers_make_a_report_and_no_noise(tmp_path: Path, members: int | None) -> None:
    path = logs.quadratic(tmp_path / "run", members)

    def change(f: h5py.File, away: Path) -> None:
        for group in ("step", "spectrum"):
            for data in f[group].values():
                if isinstance(data, h5py.Dataset) and data.dtype.kind in "fc":
                    large = np.finfo(data.dtype).max * (1 if data.dtype.kind == "f" else 1 - 1j)
                    data[...] = np.full(data.shape, large)

    in_log(change)(path, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rows(summarize(open_log(path)))
        assert found["loss of x"].startswith("1.8e+308" if members else "1.79")
        assert "leading eigenvalues" not in found, "their residuals are as large"
        write_report([path])
