"""Crashes and full disks while a log is written: no sealed row is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from counterplay.analysis.log.log import open_log
from counterplay.core.errors import StorageError
from counterplay.core.log.blocks import blocks_of, merge
from counterplay.core.log.writer import LogWriter
from counterplay.core.storage import atomic
from counterplay.core.storage.atomic import write_atomic

from ..support.rows import LAYOUT, fill, row


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
