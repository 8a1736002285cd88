"""``summary --follow``: a run is watched until it has ended, its owner is gone, or its watcher has seen enough."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from counterplay.analysis.log import follow as following
from counterplay.analysis.log.follow import follow
from counterplay.core.log.schema import Layout
from counterplay.core.log.writer import LogWriter
from counterplay.core.storage.lock import acquire
from counterplay.core.storage.run_directory import RunDirectory

from ...conftest import Run
from ...support.logs import interrupted


@pytest.mark.slow
def test_a_real_run_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    path = tmp_path / "run"
    words = "run quadratic --solver simgd -s lr=1e-6 --steps 100000000 --checkpoint-every 200 --quiet --out"
    playing = subprocess.Popen([sys.executable, "-m", "counterplay.core.cli.main", *words.split(), str(path)])
    rows = []
    try:
        deadline = time.monotonic() + 60
        while not (path / "status.json").exists():
            assert playing.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        for log in follow(path):
            rows.append(log.length("step"))
            assert time.monotonic() < deadline
            if len(rows) == 3:
                playing.terminate()
    finally:
        playing.kill()
        playing.wait()
    assert log.status["state"] == "interrupted" and rows[-1] == log.status["step"]
    assert log["step/step"].tolist() == list(range(rows[-1]))
    assert len(rows) > 3 and all(a < b for a, b in itertools.pairwise(rows[:-1]))


@contextlib.contextmanager
def under_way(path: Path) -> Iterator[Callable[[], None]]:
    """A run whose owner is gone at the end, without a word; what it yields seals one more row."""
    files = RunDirectory.create(path, {"experiment": {"game": "g"}})
    writer, steps = LogWriter(path, Layout(("x",))), itertools.count()

    def seal() -> None:
        step = next(steps)
        writer.append("step", {"step": step, "losses": [step]})
        writer.seal()

    with acquire(path):
        files.write_status("running", 0)
        seal()
        yield seal


def test_following_ends_with_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    with under_way(tmp_path / "run") as seal:
        logs = follow(tmp_path / "run")
        assert next(logs).status["state"] == "running"
        seal()
        assert next(logs)["step/step"].tolist() == [0, 1]
    assert [log.status["state"] for log in logs] == ["crashed"]


def test_following_ends_with_ctrl_c(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "counterplay.core.cli.main", "summary", "--follow", "--json", str(tmp_path / "run")]
    with under_way(tmp_path / "run") as seal:
        looking = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert looking.stdout is not None
            assert json.loads(looking.stdout.readline())["status"] == "running"
            seal()
            assert json.loads(looking.stdout.readline())["losses"] == {"x": 1.0}
            looking.send_signal(signal.SIGINT)
            assert looking.communicate(timeout=30) == ("", "") and looking.returncode == 0
        finally:
            looking.kill()
            looking.communicate()


def test_following_says_what_it_cannot_do(tmp_path: Path, cli: Run) -> None:
    run = interrupted(tmp_path / "run")
    code, _, error = cli("summary", "--follow", run, run)
    assert code == 2 and "one run" in error
    assert cli("summary", "--follow", run.with_name("none"))[0] == 2
    code, said, _ = cli("summary", "--follow", run)
    assert code == 0 and "interrupted" in said
