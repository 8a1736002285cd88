"""``counterplay log`` and ``summary --follow``: what was left behind is checked, merged, exported, and watched."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from counterplay.analysis import follow as following
from counterplay.analysis.export import harmless
from counterplay.analysis.follow import follow
from counterplay.analysis.reader import open_log
from counterplay.analysis.verify import verify
from counterplay.core.blocks import LogWriter
from counterplay.core.checkpoint import save_checkpoint
from counterplay.core.cli import main
from counterplay.core.lock import acquire
from counterplay.core.pieces import blocks_of
from counterplay.core.rundir import RunDirectory
from counterplay.core.sandbox import Sandbox
from counterplay.core.schema import Layout

Command = Callable[..., tuple[int, str, str]]
LAYOUT = Layout(("x", "=y,"), attrs={"experiment": '{"game": "quadratic"}'})


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture(scope="module")
def files() -> Iterator[Sandbox]:
    files = Sandbox()
    yield files
    files.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three blocks and two checkpoints that was interrupted."""
    import torch

    path = tmp_path / "run"
    files = RunDirectory.create(path, {"experiment": {"game": "quadratic"}})
    writer = LogWriter(path, LAYOUT, seal_seconds=1e9)
    rng = np.random.default_rng(0)
    for step in range(30):
        writer.append("step", {"step": step, "losses": rng.normal(size=2), "wall_seconds": np.inf})
        if step % 10 == 0:
            values = {"eigenvalues": [1 + 2j, -3j], "residuals": [0.0, np.nan], "status": 0}
            writer.append("spectrum", {"step": step, **values})
            save_checkpoint(path, step, {"params": {"x": {"value": torch.zeros(3)}}}, {"step": step})
        if step % 10 == 9:
            writer.seal()
    files.write_status("interrupted", 29)
    return path


# verify


def test_a_good_run_is_good(run: Path, command: Command) -> None:
    code, said, _ = command("log", "verify", run)
    assert code == 0 and "BAD" not in said and "All 9 things are good." in said
    for thing in ("run.json", "status.json", "000001.h5", "000003.h5", "step-20"):
        assert f"good  {run}" in said and thing in said
    assert command("log", "verify", run / "log" / "000002.h5", run)[0] == 0
    assert command("log", "verify", run.with_name("none"))[0] == 2
    assert command("log", "verify", run.parent)[0] == 2


def drop_block(run: Path) -> None:
    (run / "log" / "000002.h5").unlink()


def first_block_twice(run: Path) -> None:
    shutil.copy(run / "log" / "000001.h5", run / "log" / "000004.h5")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run.json": (lambda run: (run / "run.json").unlink(), "does not say what was run"),
    "run.json": (lambda run: (run / "run.json").write_text("{"), "not valid JSON"),
    "status.json": (lambda run: (run / "status.json").write_text('{"state": "fine"}'), "where the run stands"),
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


def test_a_bad_run_ends_with_65_and_a_sentence(run: Path, command: Command) -> None:
    drop_block(run)
    code, said, error = command("log", "verify", run)
    assert code == 65 and f"BAD   {run}: the log as a whole" in said
    assert error.startswith("Error: 1 of 8 things are bad. The first:") and len(error.splitlines()) == 1


# merge


def test_a_run_that_has_ended_is_merged(run: Path, command: Command) -> None:
    before = {key: open_log(run)[key] for key in open_log(run)}
    code, _, error = command("log", "merge", run)
    assert code == 2 and "can go on" in error and "--to" in error and len(blocks_of(run)) == 3
    copy = run.parent / "copy.h5"
    assert command("log", "merge", run, "--to", copy)[0] == 0 and len(blocks_of(run)) == 3
    RunDirectory(run).write_status("max_steps", 29)
    with acquire(run):
        code, _, error = command("log", "merge", run)
        assert code == 73 and str(os.getpid()) in error and len(blocks_of(run)) == 3
    code, said, _ = command("log", "merge", run)
    assert code == 0 and str(run / "log.h5") in said and not (run / "log").exists()
    for path in (run, copy):
        log = open_log(path)
        assert all(log[key].tobytes() == before[key].tobytes() for key in before) and len(log) == len(before)
    assert command("log", "merge", run)[0] == 0  # again
    assert command("log", "merge", run, "--to", copy)[0] == 2 and command("log", "merge", run.parent)[0] == 2
    assert command("log", "merge", run, "--to", copy, "--force")[0] == 0


def test_a_bad_block_is_not_merged(run: Path, command: Command) -> None:
    RunDirectory(run).write_status("max_steps", 29)
    flip(run / "log" / "000002.h5")
    assert command("log", "merge", run)[0] == 65
    assert len(blocks_of(run)) == 3 and not (run / "log.h5").exists()


# export


def test_csv(run: Path, command: Command) -> None:
    file = run.parent / "a.csv"
    assert command("log", "export", run, "--to", file) == (0, f"Wrote {file}\n", "")
    head, *rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8")))
    assert head == ["step", "losses[x]", "losses[=y,]", "wall_seconds"]
    assert np.array_equal(np.array([row[1:3] for row in rows], dtype=float), open_log(run)["step/losses"])
    assert rows[7][0] == "7" and rows[0][3] == "inf"
    assert command("log", "export", run, "--to", file, "--group", "spectrum")[0] == 2  # it exists
    assert command("log", "export", run, "--to", file, "--group", "spectrum", "--force")[0] == 0
    head, first, *_ = csv.reader(io.StringIO(file.read_text(encoding="utf-8")))
    cells = dict(zip(head, first, strict=True))
    assert (cells["eigenvalues[1].re"], cells["eigenvalues[1].im"], cells["residuals[1]"]) == ("-0.0", "-3.0", "nan")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", " =1", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    made = harmless(cell)
    assert made.lstrip()[0] not in "=+-@" and made.isprintable()
    assert harmless("losses[x]") == "losses[x]"


def test_json_and_npz(run: Path, command: Command) -> None:
    log = open_log(run)
    file = run.parent / "a.json"
    assert command("log", "export", run, "--to", file, "--group", "spectrum")[0] == 0
    found = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda text: pytest.fail(text))
    about = found["variables"]["eigenvalues"]
    assert about["dimensions"] == ["spectrum", "mode"] and about["values"][2][0] == {"re": 1.0, "im": 2.0}
    assert found["variables"]["residuals"]["values"][0] == [0.0, None] and found["experiment"] == {"game": "quadratic"}
    file = run.parent / "a.npz"
    assert command("log", "export", run, "--to", file)[0] == 0
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["losses"].tobytes() == log["step/losses"].tobytes() and list(arrays["player"]) == ["x", "=y,"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--to", "a.xls"], 2, "none of .csv, .json, .npz"),
        (["--to", "a.csv", "--group", "steps"], 2, "did you mean 'step'"),
        (["--to", "none/a.csv"], 74, "none"),
        (["--to", "."], 2, "none of"),
        ([], 2, "--to"),
    ],
)
def test_mistakes_are_told(
    run: Path, command: Command, words: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    found, _, error = command("log", "export", run, *words)
    assert found == code and said in error


# follow


@pytest.mark.slow
def test_a_real_run_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    path = tmp_path / "run"
    words = "run quadratic --solver simgd -s lr=1e-6 --steps 100000000 --checkpoint-every 200 --quiet --out"
    playing = subprocess.Popen([sys.executable, "-m", "counterplay.core.cli", *words.split(), str(path)])
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
    assert len(rows) > 3 and all(a < b for a, b in pairwise(rows[:-1]))


OWNER = """
import sys
from pathlib import Path
from counterplay.core.blocks import LogWriter
from counterplay.core.lock import acquire
from counterplay.core.rundir import RunDirectory
from counterplay.core.schema import Layout
files = RunDirectory.create(sys.argv[1], {"experiment": {"game": "g"}})
lock, writer = acquire(files.path), LogWriter(files.path, Layout(("x",)))
files.write_status("running", 0)
for step, line in enumerate(sys.stdin):
    writer.append("step", {"step": step, "losses": [1.0]})
    writer.seal()
    print(step, flush=True)
"""


def test_following_ends_with_ctrl_c_and_with_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "run"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(path)], **pipes)  # type: ignore[call-overload]

    def seal() -> None:
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert owner.stdout.readline()

    seal()
    words = [sys.executable, "-m", "counterplay.core.cli", "summary", "--follow", "--json", str(path)]
    looking = [subprocess.Popen(words, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    try:
        for look in looking:
            facts = json.loads(look.stdout.readline())
            assert facts["status"] == "running"
        seal()
        for look in looking:
            assert json.loads(look.stdout.readline())["losses"] == {"x": 1.0}
        looking[0].send_signal(signal.SIGINT)
        assert looking[0].communicate(timeout=30) == ("", "") and looking[0].returncode == 0
        owner.kill()
        owner.communicate(timeout=30)
        said, error = looking[1].communicate(timeout=30)
        assert json.loads(said)["status"] == "crashed" and not error and looking[1].returncode == 0
    finally:
        for process in (owner, *looking):
            process.kill()
            process.communicate()


def test_following_says_what_it_cannot_do(run: Path, command: Command) -> None:
    code, _, error = command("summary", "--follow", run, run)
    assert code == 2 and "one run" in error
    assert command("summary", "--follow", run.with_name("none"))[0] == 2
    code, said, _ = command("summary", "--follow", run)
    assert code == 0 and "interrupted" in said
