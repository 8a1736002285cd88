"""Runs killed at any moment and starved at any write: a few points; ``python tests/campaign`` takes them all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import counterplay as cp

CAMPAIGN = Path(__file__).parent.with_name("campaign")


def campaign(*args: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, str(CAMPAIGN), *args]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr + "\n".join(f"{x['campaign']}: {x['wrong']}" for x in lines)
    return {x["campaign"]: x for x in lines}


def test_killed_starved_and_resumed() -> None:
    found = campaign("--quick")
    assert [x["not as promised"] for x in found.values()] == [0] * 4
    assert found["kills"]["kills"] == 8 and found["kills"]["unreadable logs"] == 0 and found["kills"]["resumed"] == 2
    assert found["kills"]["rows acknowledged"] > 0 == found["kills"]["logs that lost rows"]
    assert found["resumes"]["kills and resumes in one run"] == 3
    codes = found["faults"]["exit codes"]
    assert codes.pop("kill") == codes.pop("torn") == {"-9": 1} and found["faults"]["operations"] > 100
    assert all(set(ends) <= {"74", "0"} for ends in codes.values()) and len(codes) == 6
    assert found["limits"]["exit codes"]["74"] > 0


GAME, SOLVER = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})


@pytest.mark.parametrize("every", [1, 100])
def test_a_directory_that_goes_away_is_not_made_again(tmp_path: Path, every: int) -> None:
    """With rows of the log to write, and with none."""

    def remove(seen: Any) -> None:
        if seen.step == 5:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(cp.StorageError, match=str(tmp_path / "run")):
        cp.run(GAME, SOLVER, steps=20, out=tmp_path / "run", every=every, checkpoint_every=2, observers=[remove])
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_place_of_the_log_is_a_storage_error(tmp_path: Path) -> None:
    def spoil(seen: Any) -> None:
        if seen.step == 5:
            (tmp_path / "run" / "log").write_text("")

    with pytest.raises(cp.StorageError, match="log"):
        cp.run(GAME, SOLVER, steps=20, out=tmp_path / "run", observers=[spoil])
    (tmp_path / "run" / "log").unlink()
    result = cp.resume(tmp_path / "run", game=GAME, solver=SOLVER)
    assert result.status == "max_steps" and cp.open_log(tmp_path / "run")["step/step"].tolist() == list(range(21))


def test_killed_before_its_first_checkpoint_it_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cp.run(GAME, SOLVER, steps=5, seed=3, out=tmp_path / "whole")
    start = {i: dict(t) for i, t in whole.params.items()}
    for given, out in ((None, tmp_path / "own"), (start, tmp_path / "given")):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="here"):
            patch.setattr("counterplay.core.run.run_writer.save_checkpoint", _fails)
            cp.run(GAME, SOLVER, steps=5, seed=3, out=out, start=given)
        assert not (out / "checkpoints").exists()
    again = cp.resume(tmp_path / "own", game=GAME, solver=SOLVER)
    assert again.params == whole.params and (tmp_path / "own" / "checkpoints" / "step-0").is_dir()
    with pytest.raises(cp.UsageError, match="no checkpoint"):
        cp.resume(tmp_path / "given", game=GAME, solver=SOLVER)


def _fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("here")


def test_a_draft_of_what_was_asked_is_no_run(tmp_path: Path) -> None:
    (tmp_path / ".run.json.tmp").write_text("{")
    assert cp.run(GAME, SOLVER, steps=1, out=tmp_path).status == "max_steps"
    assert not (tmp_path / ".run.json.tmp").exists()


def test_a_checkpoint_seals_no_block(tmp_path: Path) -> None:
    """A block costs many times what a checkpoint does: the rows in no block yet go into the checkpoint."""
    blocks: list[int] = []

    def count(seen: Any) -> None:
        blocks.append(len(list((tmp_path / "run" / "log").glob("*.h5"))) if not seen.last else 0)

    cp.run(GAME, SOLVER, steps=30, out=tmp_path / "run", checkpoint_every=3, observers=[count])
    assert set(blocks) == {0}
