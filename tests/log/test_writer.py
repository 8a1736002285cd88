"""The log: what is written is what is read, by us and by others' tools, whatever happens while it is written."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from counterplay.analysis.commands.summary import summarize
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import Busy, StorageError, UsageError
from counterplay.core.log.schema import COUNTS, GROUPS, Layout, Variable
from counterplay.core.log.segments import blocks_of, merge
from counterplay.core.log.writer import LogWriter
from counterplay.core.storage import atomic
from counterplay.core.storage.atomic import write_atomic
from counterplay.core.storage.run_directory import RunDirectory, claim

LAYOUT = Layout(("x", "yé"), ("x/value[0]", "yé/value[0]"), attrs={"experiment": '{"game": "quadratic"}', "seed": 3})


def row(step: int, rng: np.random.Generator) -> dict:
    two = ("losses", "gradient_norms", "parameter_norms", "parameters")
    return {"step": step, **{k: rng.normal(size=2) for k in two}, "gradients": 2 * step, "wall_seconds": step / 8}


def fill(directory: Path, steps: int = 60, layout: Layout = LAYOUT, seal_every: int = 25) -> dict[str, np.ndarray]:
    """Write a log of several blocks and return what was put in."""
    rng = np.random.default_rng(0)
    writer = LogWriter(directory, layout, seal_seconds=1e9)
    put: dict[str, list] = {}
    for step in range(steps):
        given = row(step, rng)
        writer.append("step", given)
        for name, value in given.items():
            put.setdefault(f"step/{name}", []).append(value)
        if step % 10 == 0:
            modes = 2 + step // 20  # the number of eigenvalues found varies
            values = rng.normal(size=modes) + 1j * rng.normal(size=modes)
            found = {"eigenvalues": values, "residuals": abs(values), "status": np.zeros(modes)}
            writer.append("spectrum", {"step": step, **found})
            put.setdefault("spectrum/eigenvalues", []).append(values)
        if step % seal_every == seal_every - 1:
            writer.seal()
    writer.seal()
    spectra = put.pop("spectrum/eigenvalues")
    widest = max(map(len, spectra))
    nan = complex(np.nan, np.nan)
    padded = [np.concatenate([v, np.full(widest - len(v), nan)]) for v in spectra]
    return {**{k: np.array(v) for k, v in put.items()}, "spectrum/eigenvalues": np.array(padded)}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


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


# Others' tools


def test_xarray_opens_it_unaided(tmp_path: Path) -> None:
    put = fill(tmp_path)
    merge(tmp_path)
    with xarray.open_datatree(tmp_path / "log.h5", engine="h5netcdf") as tree:
        for key, wanted in put.items():
            assert same(tree[key].to_numpy(), wanted), key
        assert list(tree["step/player"].to_numpy()) == ["x", "yé"]
        assert tree["step/losses"].dims == ("step", "player")
        assert tree["step/wall_seconds"].attrs["units"] == "s"
        ours = open_log(tmp_path)
        for group in ours.groups:
            theirs = tree[group].to_dataset()
            assert theirs.equals(ours.dataset(group))
            assert set(theirs.coords) == set(ours.dataset(group).coords)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_prints_the_same_numbers(tmp_path: Path) -> None:
    put = fill(tmp_path)
    whole = merge(tmp_path)
    for key in ("step/losses", "step/step", "spectrum/eigenvalues"):
        raw = tmp_path / "raw"
        command = ["h5dump", "-d", f"/{key}", "-b", "MEMORY", "-o", str(raw), str(whole)]
        subprocess.run(command, check=True, capture_output=True)
        assert raw.read_bytes() == put[key].tobytes()
    text = subprocess.run(
        ["h5dump", "-d", "/step/player", str(whole)], check=True, capture_output=True, text=True
    ).stdout
    assert '"x"' in text


@pytest.mark.skipif(shutil.which("ncdump") is None, reason="ncdump is not installed")
def test_ncdump_reads_names_and_complex_numbers(tmp_path: Path) -> None:
    fill(tmp_path)
    text = subprocess.run(["ncdump", str(merge(tmp_path))], check=True, capture_output=True, text=True).stdout
    assert 'player = "x", "yé"' in text and "eigenvalues(spectrum, mode)" in text


# Crashes and full disks


class Killed(BaseException):
    """Stands for a kill: nothing after it runs, not even what tidies up after an error."""


@pytest.mark.parametrize("death", range(34))
def test_a_kill_at_any_system_call_loses_no_sealed_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: int
) -> None:
    moments = 0  # before and after each call

    def moment() -> None:
        nonlocal moments
        moments += 1
        if moments > death:  # dead: what tidies up afterwards does not run either
            raise Killed

    def dying(call):
        def called(*args, **kwargs):
            moment()
            result = call(*args, **kwargs)
            moment()
            return result

        return called

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    monkeypatch.setattr(Path, "unlink", dying(Path.unlink))
    monkeypatch.setattr(Path, "rmdir", dying(Path.rmdir))
    rng = np.random.default_rng(0)
    acknowledged = 0
    try:
        writer = LogWriter(tmp_path, LAYOUT, seal_seconds=1e9)
        for step in range(30):
            writer.append("step", row(step, rng))
            if step % 10 == 9:
                writer.seal()
                acknowledged = step + 1
        writer.finish()
    except Killed:
        pass
    assert moments > death, "it was killed"
    monkeypatch.undo()
    if acknowledged or blocks_of(tmp_path) or (tmp_path / "log.h5").exists():
        log = open_log(tmp_path)
        steps = list(log["step/step"])
        assert steps == list(range(len(steps))) and len(steps) >= acknowledged  # no row lost, none doubled
        merge(tmp_path)
        assert list(open_log(tmp_path)["step/step"]) == steps
        assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["log.h5"]


def test_a_draft_half_written_is_no_block(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "log" / ".000004.h5.tmp").write_bytes(b"\x89HDF")
    assert len(open_log(tmp_path)["step/step"]) == 60
    merge(tmp_path)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_a_storage_error_and_keeps_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = LogWriter(tmp_path, LAYOUT, seal_seconds=1e9)
    writer.append("step", row(0, np.random.default_rng(0)))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(StorageError, match=r"000001\.h5.*No space left"):
            writer.seal()
    assert not list((tmp_path / "log").iterdir())  # not even a draft takes up room
    writer.finish()
    assert list(open_log(tmp_path)["step/step"]) == [0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "open", lambda *_: open("/dev/full", "wb"), raising=False)
    with pytest.raises(StorageError, match="No space left"):
        write_atomic(tmp_path / "log.h5", b"rows")


# Run directory


def test_run_directory(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "a" / "b", {"experiment": {"lr": float("nan"), "path": tmp_path}, "seed": 1})
    assert run.run() == {"experiment": {"lr": None, "path": str(tmp_path)}, "seed": 1}
    assert run.status() == {}
    run.write_status("running", 0)
    started = run.status()["started_seconds"]
    run.write_status("diverged", 7, "Loss of x is not finite.", exit_code=10)
    status = run.status()
    assert (status["state"], status["step"], status["exit_code"]) == ("diverged", 7, 10)
    assert status["started_seconds"] == started and status["reason"] == "Loss of x is not finite."
    assert sorted(p.name for p in run.path.iterdir()) == ["run.json", "status.json"]


def test_an_existing_directory_is_refused_unless_empty(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim(run).close()  # killed there
    lock = claim(run)
    with pytest.raises(Busy, match=f"in use by process {os.getpid()}"):
        claim(run)
    RunDirectory.create(run, {})
    with pytest.raises(Busy):
        claim(run)
    lock.close()
    (tmp_path / "file").write_text("")
    for taken in (run, tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="not an empty directory"):
            claim(taken)
    assert not (tmp_path / "lock").exists()
    with pytest.raises(StorageError):
        claim(tmp_path / "file" / "below")
