"""What a resumed run must not forget: how far its log was, how long it took, since when it is another run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog, UsageError
from counterplay.core.log.blocks import blocks_of
from counterplay.core.run import run_writer
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest
from counterplay.core.storage.run_directory import RunDirectory, claim
from counterplay.core.storage.strict_json import dumps

from .test_resume import Killed, kill_at

GAME = cp.make("game", "quadratic")
SOLVER = cp.make("solver", "simgd", lr=0.01)
CLI = [sys.executable, "-c", "import sys; from counterplay.core.cli.main import main; main(sys.argv[1:])"]


def stopped(path: Path, at: int = 8, **asked: Any) -> Path:
    """A run stopped at step ``at``, as by a signal."""
    steps = iter(range(at))
    cp.run(GAME, SOLVER, steps=20, out=path, stop=lambda: next(steps, None) is None, **asked)
    assert RunDirectory(path).status()["state"] == "interrupted"
    return path


def altered(run: Path, **facts: Any) -> None:
    path = run / "run.json"
    path.write_text(dumps({**json.loads(path.read_text()), **facts}))


def again(run: Path, **how: Any) -> Any:
    return cp.resume(run, game=GAME, solver=SOLVER, **how)


def test_since_when_a_run_is_inexact_is_never_forgotten(tmp_path: Path, cli: Any) -> None:
    run = stopped(tmp_path / "run")
    altered(run, threads=99)
    with pytest.raises(UsageError, match="threads was 99"):
        again(run)
    steps = iter(range(4))
    again(run, allow_inexact=True, stop=lambda: next(steps, None) is None)
    shutil.rmtree(run / "log")  # which says so, too; the checkpoint does, though its rows were sealed
    altered(run, threads=77)
    again(run, allow_inexact=True)
    marks = json.loads(open_log(run).attrs["inexact"])
    assert [mark["step"] for mark in marks] == [8, 12]
    assert "threads was 99" in marks[0]["changed"][0] and "threads was 77" in marks[1]["changed"][0]
    assert "block 000001 of its log has gone" in marks[1]["changed"]
    assert "from step 8" in cli("summary", run)[1] and json.loads(cli("summary", run, "--json")[1])["inexact"] == marks


def test_the_clock_goes_on(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    before = float(open_log(run)["step/wall_seconds"][-1])
    tensors, numbers = load_checkpoint(newest(run))
    assert numbers["seconds"] >= before
    save_checkpoint(run, 8, tensors, {**numbers, "seconds": 1e6})
    again(run)
    seconds = open_log(run)["step/wall_seconds"]
    assert (np.diff(seconds) >= 0).all() and seconds[-1] >= 1e6 > seconds[7]


def test_a_log_that_lost_its_beginning_is_not_gone_on_with(tmp_path: Path, cli: Any) -> None:
    run = stopped(tmp_path / "run")
    assert cli("log", "verify", run)[0] == 0
    blocks_of(run)[0].unlink()
    code, _, said = cli("log", "verify", run)
    assert code == 65 and "has no block 000001" in said
    with pytest.raises(UsageError, match=r"block 000001 of its log has gone"):
        again(run)
    done = cp.run(GAME, SOLVER, steps=3, out=tmp_path / "done")
    assert done.status == "max_steps" and cli("log", "verify", tmp_path / "done")[0] == 0
    (tmp_path / "done" / "log.h5").unlink()
    code, _, said = cli("log", "verify", tmp_path / "done")
    assert code == 65 and "has no log, and its run has ended" in said


def spoilt(run: Path, part: str, value: Any) -> None:
    tensors, numbers = load_checkpoint(newest(run))
    save_checkpoint(run, 8, {**tensors, part: value} if part in tensors else tensors, {**numbers, part: value})


SPOILT = {"cost": ["a", 1, 2], "blocks": "many", "seconds": [], "inexact": 3}


@pytest.mark.parametrize("part", SPOILT)
def test_a_checkpoint_that_no_run_writes_is_a_bad_log(part: str, tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    spoilt(run, part, SPOILT[part])
    with pytest.raises(BadLog, match=rf"step-8.state\.json: {part}(\[0\])? is (the|a) .*, expected"):
        again(run)


def test_generators_that_are_none_are_a_bad_log(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    tensors, numbers = load_checkpoint(newest(run))
    save_checkpoint(run, 8, {**tensors, "rngs": {"0": tensors["rngs"]["0"][:10].clone()}}, numbers)
    with pytest.raises(BadLog, match="does not fit"):
        again(run)


@pytest.mark.parametrize(
    "facts",
    [{"settings": {}}, {"settings": {"steps": "many"}}, {"settings": []}, {"experiment": 3}, {"versions": None}],
    ids=str,
)
def test_a_run_json_that_no_run_writes_is_a_bad_log(facts: dict[str, Any], tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    altered(run, **facts)
    with pytest.raises(BadLog, match=rf"run\.json: {next(iter(facts))}(\.steps)? (is|has no) .*(expected|every run)"):
        again(run)


def test_a_checkpoint_of_another_step_or_too_deep_is_passed_over(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    shutil.copytree(run / "checkpoints" / "step-8", run / "checkpoints" / "step-11")
    (run / "checkpoints" / "step-12").mkdir()
    (run / "checkpoints" / "step-12" / "manifest.json").write_text("[" * 100_000)
    assert newest(run).name == "step-8"


def test_a_pipe_where_a_draft_would_be_stops_nothing(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run")
    os.mkfifo(run / "checkpoints" / ".step-20.tmp")
    assert again(run).status == "max_steps"


def test_what_has_ended_can_be_asked_for_where_nothing_can_be_written(tmp_path: Path) -> None:
    cp.run(GAME, SOLVER, steps=3, out=tmp_path / "run")
    (tmp_path / "run" / "lock").unlink()
    (tmp_path / "run" / "lock").mkdir()  # no lock can be had
    assert again(tmp_path / "run").steps == 3


def test_of_two_runs_begun_at_once_one_has_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the first has but made the directory, and while it plays."""
    said: list[tuple[int, str]] = []

    def second() -> None:
        command = [
            *CLI,
            "run",
            "quadratic",
            "--solver",
            "simgd",
            "--steps",
            "3",
            "--seed",
            "7",
            "--out",
            str(tmp_path / "d"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        said.append((done.returncode, done.stderr))

    def slowly(path: Path) -> Any:
        lock = claim(path)
        second()
        return lock

    monkeypatch.setattr(run_writer, "claim", slowly)
    result = cp.run(GAME, SOLVER, steps=3, out=tmp_path / "d", observers=[lambda seen: second() if seen.last else None])
    assert result.status == "max_steps" and RunDirectory(tmp_path / "d").run()["seed"] == 0
    assert [code for code, _ in said] == [73, 73] and all(f"process {os.getpid()}" in words for _, words in said)
    with pytest.raises(UsageError, match="not an empty directory"):
        cp.run(GAME, SOLVER, steps=3, out=tmp_path / "d")


def test_rows_killed_before_they_were_sealed_keep_the_mark(tmp_path: Path) -> None:
    run = stopped(tmp_path / "run", checkpoint_every=2)
    altered(run, threads=99)
    with pytest.raises(Killed):
        again(run, allow_inexact=True, observers=[kill_at(13)])
    altered(run, threads=torch.get_num_threads())
    again(run)
    assert [mark["step"] for mark in json.loads(open_log(run).attrs["inexact"])] == [8]
