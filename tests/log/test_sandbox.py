"""The process that reads strangers' logs: whatever a file makes it do costs a bad log, and no more."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from counterplay.analysis.log.log import open_log
from counterplay.core.errors import BadLog, UserError
from counterplay.core.log import sandbox
from counterplay.core.log.sandbox import Sandbox

from ..support.hostile import STEPS

STUCK = {
    "hangs": ("while True: pass", "CPU time limit exceeded"),
    "sleeps": ("import time; time.sleep(1e6)", "busy for more than"),
    "crashes": ("import os; os.abort()", "made its reader end (Aborted)"),
    "leaves": ("import os; os._exit(7)", "made its reader end (exit code 7)"),
    "eats": ("bytearray(1 << 31)", "takes more memory"),
    "opens": ("open('/etc/passwd')", "Too many open files"),
    "writes": ("import os; os.write(os.memfd_create('a'), b'a')", "Too many open files"),
    "forks": ("import os; os.setuid(os.getuid() or 65534); os.fork()", "temporarily unavailable"),
    "stalls": ("import os, time; os.write(3, b'\\0\\0\\1\\0part'); time.sleep(1e6)", "busy for more than"),
    "raves": ("__import__('json').dumps(dict(contents=dict(variables=3))).encode(), None", "answer nonsense"),
    "counts": ("b'3', None", "answer nonsense"),
}


OFTEN = ("sleeps", "stalls", "crashes", "eats", "opens", "raves", "counts")


@pytest.mark.parametrize("does", [d if d in OFTEN else pytest.param(d, marks=pytest.mark.slow) for d in STUCK])
def test_whatever_reading_does_costs_a_bad_log(run: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    code, said = STUCK[does]
    if said == "answer nonsense":
        code = f"import counterplay.core.log.sandbox_worker as w; w._answer = lambda *a: ({code})"
    else:
        body = f"def contents(*a):\n    {code}\n"
        code = f"import counterplay.core.log.sandbox_worker as w; w._warm = lambda: None; exec({body!r}, w.__dict__)"
    honest = sandbox._START
    monkeypatch.setattr(sandbox, "_START", f"import sys; sys.path[:] = {{path!r}}\n{code}\n{honest}")
    monkeypatch.setattr(sandbox, "SECONDS", {"sleeps": 0.5, "stalls": 0.5, "hangs": 6.0}.get(does, 20.0))
    files = Sandbox()
    began = time.monotonic()
    with pytest.raises(UserError, match=f"{re.escape(said)}|{re.escape(STUCK['sleeps'][1])}"):  # on a busy machine
        open_log(run, sandbox=files)
    assert time.monotonic() - began < 30
    monkeypatch.setattr(sandbox, "_START", honest)
    monkeypatch.setattr(sandbox, "SECONDS", 20.0)
    files.close()
    assert len(open_log(run, sandbox=files)["step/step"]) == STEPS  # the next one is read again


def test_an_answer_that_is_too_long(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "TEXT", 100)
    files = Sandbox()
    with pytest.raises(BadLog, match=r"run/log\.h5 has too many bytes to be read at once, which no log of counterplay"):
        open_log(run, sandbox=files)
    monkeypatch.undo()
    assert len(open_log(run, sandbox=files)["step/step"]) == STEPS


def test_a_process_that_cannot_start_is_no_bad_log(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_START", "raise SystemExit")
    with pytest.raises(RuntimeError, match="did not start"):
        open_log(run, sandbox=True)


def test_more_than_the_command_line_reads_at_once(run: Path, monkeypatch: pytest.MonkeyPatch, files: Sandbox) -> None:
    monkeypatch.setattr("counterplay.analysis.log.log.MOST", 1000)
    log = open_log(run, sandbox=files)
    with pytest.raises(BadLog, match=r"4,800 bytes of step/losses.*open_log"):
        log["step/losses"]
    assert len(log.read("step/losses", -1)) == 1 and len(open_log(run)["step/losses"]) == STEPS


def test_the_process_ends_with_the_log(run: Path) -> None:
    files = Sandbox()
    log = open_log(run, sandbox=files)
    process = files._process
    assert process is not None and process.poll() is None
    del log, files
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is not None
