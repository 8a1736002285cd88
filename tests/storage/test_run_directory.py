"""The run directory: what it holds, and which one is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from counterplay.core.errors import Busy, StorageError, UsageError
from counterplay.core.storage.run_directory import RunDirectory, claim


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
