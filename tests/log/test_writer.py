"""The log: what is written is what is read, by us and by others' tools, whatever happens while it is written."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from counterplay.analysis.commands.summary import summarize
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import UsageError
from counterplay.core.log.blocks import blocks_of, merge
from counterplay.core.log.schema import COUNTS, GROUPS, Layout, Variable
from counterplay.core.log.writer import LogWriter

from ..support.rows import LAYOUT, fill, row, same


@pytest.mark.parametrize("merged", [False, True])
def test_what_is_written_is_read_bit_for_bit(tmp_path: Path, merged: bool) -> None:
    put = fill(tmp_path)
    assert len(blocks_of(tmp_path)) == 3
    if merged:
        assert merge(tmp_path) == tmp_path / "log.h5"
        assert not (tmp_path / "log").exists()
    log = open_log(tmp_path)
    for key, wanted in put.items():
        assert same(log[key], wanted), key
    assert list(log["spectrum/count"]) == [2, 2, 3, 3, 4, 4]
    assert log.players == ("x", "yé") and log.labels("parameter") == LAYOUT.parameters
    assert log["step/player"].tolist() == ["x", "yé"]
    assert log["step/parameter"].tolist() == list(LAYOUT.parameters or ())
    assert log.experiment == {"game": "quadratic"} and log.run["seed"] == 3


def test_ensembles_and_values_by_player(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, Layout(("x", "y"), members=3))
    losses = {"x": np.arange(3.0), "y": -np.arange(3.0)}
    writer.append("step", {"step": 0, "losses": losses, "inner_converged": [1, 0, 1]})
    blocks = {"x": np.ones((3, 1)), "y": np.full((3, 2), 2j)}
    spectrum = {"eigenvalues": np.ones((3, 3)), "status": np.zeros((3, 3)), "block_eigenvalues": blocks}
    writer.append("spectrum", {"step": 0, **spectrum})
    writer.finish()
    log = open_log(tmp_path / "log.h5")
    assert log.members == 3
    assert log.variables["step/losses"].dims == ("step", "member", "player")
    assert np.array_equal(log["step/losses"][0], np.stack([losses["x"], losses["y"]], axis=-1))
    assert log.shape("spectrum/block_eigenvalues") == (1, 3, 2, 2)
    assert np.array_equal(log["spectrum/block_count"][0], [[1, 2]] * 3)
    assert log.dataset().sizes == {"step": 1, "member": 3, "player": 2}
    assert list(log.frame().index.names) == ["step", "member"]


def test_metrics_on_different_schedules_leave_nan_between(tmp_path: Path) -> None:
    share = Variable("digit_share", ("metrics", "digit"), "<f8", "share of each digit")
    writer = LogWriter(tmp_path, Layout(("x",), metrics=(share,)))
    writer.append("metrics", {"step": 0, "score": 1.5})
    writer.seal()
    writer.append("metrics", {"step": 1, "score": 2.5, "digit_share": np.full(10, 0.1), "pair": [1, 2]})
    writer.finish()
    log = open_log(tmp_path)
    assert list(log["metrics/score"]) == [1.5, 2.5]
    assert np.isnan(log["metrics/digit_share"][0]).all() and (log["metrics/digit_share"][1] == 0.1).all()
    assert log.variables["metrics/digit_share"].dims == ("metrics", "digit")
    assert log.variables["metrics/pair"].dims == ("metrics", "pair_index")
    assert "metrics/metrics" not in log


def test_a_row_without_a_solve_has_no_solve_that_failed(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LAYOUT)
    for step in range(3):
        writer.append("step", {"step": step, "losses": [0.0, 0.0], "inner_converged": 1, "inner_iterations": 4})
    writer.seal()
    writer.append("step", {"step": 3, "losses": [0.0, 0.0]})
    writer.finish()
    log = open_log(tmp_path)
    assert list(log["step/inner_converged"]) == [1, 1, 1, -1]
    inner = summarize(log)["inner"]
    assert (inner["solves"], inner["not_converged"], inner["mean_iterations"]) == (3, 0, 4.0)


def test_many_rows_at_once(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LAYOUT)
    losses = np.random.default_rng(1).normal(size=(500, 2))
    writer.extend("step", {"step": np.arange(500), "losses": losses})
    writer.finish()
    assert same(open_log(tmp_path)["step/losses"], losses)


@pytest.mark.parametrize(
    ("group", "given", "words"),
    [
        ("step", {"step": 0, "losses": [1.0, 2.0, 3.0]}, r"'losses'.*shape \(3,\).*player 2"),
        ("step", {"step": 0, "losses": "high"}, "'losses'.*expected numbers"),
        ("step", {"step": 0, "lossess": [1.0, 2.0]}, "no variable 'lossess'"),
        ("step", {"losses": [1.0, 2.0]}, "no 'step'"),
        ("metrics", {"step": 0, "a/b": 1.0}, "cannot be named 'a/b'"),
    ],
)
def test_a_wrong_row_is_refused_and_spoils_nothing(tmp_path: Path, group: str, given: dict, words: str) -> None:
    writer = LogWriter(tmp_path, LAYOUT)
    with pytest.raises(UsageError, match=words):
        writer.append(group, given)
    writer.append("step", {"step": 0, "losses": [1.0, 2.0]})
    writer.finish()
    assert list(open_log(tmp_path)["step/step"]) == [0]


def test_blocks_are_sealed_by_size_and_by_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    writer = LogWriter(tmp_path, LAYOUT, seal_seconds=1e9, seal_bytes=1000)
    for step in range(30):
        writer.append("step", row(step, rng))
    assert len(blocks_of(tmp_path)) == 2  # 88 bytes a row
    writer.seal_seconds = 0.0
    writer.append("step", row(30, rng))
    assert len(blocks_of(tmp_path)) == 3
    again = LogWriter(tmp_path, LAYOUT, seal_seconds=0.0)  # continues, never overwrites
    again.append("step", row(31, rng))
    assert [b.name for b in blocks_of(tmp_path)] == [f"{i:06d}.h5" for i in range(1, 5)]
    assert list(open_log(tmp_path)["step/step"]) == list(range(32))


@pytest.mark.parametrize("seal_bytes", [1, 300, 1 << 30])
def test_what_is_before_a_step_that_is_taken_once_more(tmp_path: Path, seal_bytes: int) -> None:
    """All rows before it, in blocks that have none of its own or beside them, wherever blocks end."""
    rng = np.random.default_rng(0)
    writer = LogWriter(tmp_path, LAYOUT, seal_seconds=1e9, seal_bytes=seal_bytes)
    rows = [row(step, rng) for step in range(12)]
    for step, given in enumerate(rows):
        writer.append("step", given)
        writer.append("metrics", {"step": step, "score": step / 2})
        for at in (step, step + 1):
            blocks, pending = writer.before(at)
            for group, name in (("step", "gradients"), ("metrics", "score")):
                logs = [open_log(b) for b in blocks_of(tmp_path)[:blocks]]
                kept = [log[f"{group}/{name}"] for log in logs if f"{group}/{name}" in list(log)]
                own = [x.tolist() for x in kept] + ([pending[group][name].tolist()] if group in pending else [])
                assert [x for part in own for x in part] == [n * (2 if group == "step" else 0.5) for n in range(at)]


def test_the_whole_log_does_not_depend_on_how_it_was_cut(tmp_path: Path) -> None:
    files = []
    for every in (7, 60):
        (tmp_path / str(every)).mkdir()
        fill(tmp_path / str(every), seal_every=every)
        files.append(merge(tmp_path / str(every)).read_bytes())
    with h5py.File(io.BytesIO(files[0])) as a, h5py.File(io.BytesIO(files[1])) as b:
        assert dict(a.attrs) == dict(b.attrs)
        for group in GROUPS:
            if group not in a:
                continue
            assert list(a[group]) == list(b[group])
            for name in a[group]:
                assert np.array_equal(a[group][name][:], b[group][name][:], equal_nan=a[group][name].dtype.kind in "fc")


def test_a_log_without_rows_is_still_a_log(tmp_path: Path) -> None:
    LogWriter(tmp_path, LAYOUT).finish()
    log = open_log(tmp_path)
    assert len(log) == 0 and log.groups == () and log.experiment == {"game": "quadratic"}


def test_every_variable_says_what_it_is() -> None:
    for group, table in GROUPS.items():
        for name, variable in table.items():
            assert variable.dims[0] == group and variable.long_name and variable.units
            assert not name.endswith("_seconds") or variable.units == "s"
            assert name not in COUNTS or COUNTS[name] in table
