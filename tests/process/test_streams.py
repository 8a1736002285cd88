"""The command line and its surroundings: streams that are closed, full or gone, and signals at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from counterplay.core.process import signals, streams
from counterplay.core.registry.registry import Registry

from ..conftest import Run
from ..support.third_parties import HEAD

LINE = [sys.executable, "-m", "counterplay.core.cli.main"]
SWEEP = int(os.environ.get("COUNTERPLAY_TEST_SIGNALS", "12"))


def typed(shell: str, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command with redirections, as a shell makes them."""
    whole = f'exec "$@" {shell}'
    return subprocess.run(
        ["sh", "-c", whole, "sh", *LINE, *args], capture_output=True, text=True, env=os.environ | more, timeout=100
    )


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_standard_output_is_a_storage_error(buffered: str) -> None:
    done = typed(">/dev/full", "--help", PYTHONUNBUFFERED=buffered)
    assert done.returncode == 74
    assert done.stderr == "Error: Could not write to the standard output: No space left on device.\n"


@pytest.mark.parametrize(
    ("shell", "args", "code"),
    [(">&-", ["--help"], 0), ("2>&-", ["summary", "nothing"], 2), ("<&- >&- 2>&-", ["--version"], 0),
     ("2>/dev/full", ["summary", "nothing"], 2)],
)  # fmt: skip
def test_closed_streams_cost_nothing(shell: str, args: list[str], code: int) -> None:
    done = typed(shell, *args)
    assert done.returncode == code and done.stderr == ""


@pytest.mark.slow
def test_closed_standard_output_of_a_run(tmp_path: Path) -> None:
    done = typed(
        ">&-", "run", "quadratic", "--solver", "simgd", "--steps", "2", "--quiet", "--out", str(tmp_path / "q")
    )
    assert done.returncode == 0 and done.stderr == "" and (tmp_path / "q" / "log.h5").is_file()


CLOSING = """
sys.stdout.close()
sys.stderr.close()

@dataclass(frozen=True)
class Closing(Mine):
    "closes what it can"

    def step(self, game, params, memory, draw):
        sys.stdout.close()
        sys.stderr.close()
        return super().step(game, params, memory, draw)

@hookimpl
def register_solvers():
    return [Entry("closing", Closing, "closes")]
"""


def test_a_plugin_cannot_close_the_streams(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "closing.py").write_text(HEAD + CLOSING)
    code, out, err = cli("run", "quadratic", "--solver", "closing", "--plugin", "closing.py", "--steps", 3)
    assert code == 0 and out.startswith("max_steps after 3 steps") and "step 3/3" in err


def test_streams_closed_underneath_say_so(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as file:
        kept = streams.UnclosableStream(file, streams._raise)
        kept.close()
        kept.write("x")
        file.close()
        with pytest.raises(streams.Unwritten, match="closed file"):
            kept.flush()
    assert (tmp_path / "out").read_text() == "x"


COMMAND = """
import os, signal, click

@hookimpl
def register_commands(group):
    @group.command("do")
    @click.argument("what")
    def do(what):
        if what == "pipe":
            raise BrokenPipeError(32, "Broken pipe")
        try:
            exec('os.kill(os.getpid(), getattr(signal, what.removeprefix("swallowed-")))')
        except KeyboardInterrupt:
            if not what.startswith("swallowed-"):
                raise
            raise ImportError("something else")
"""


@pytest.fixture
def do(cli: Run, fresh: Registry, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("COUNTERPLAY_NO_PLUGINS")
    install("doing", COMMAND)
    return cli


def test_a_plugins_broken_pipe_is_its_own(do: Run) -> None:
    code, _, err = do("do", "pipe")
    assert code == 3 and "the plugin doing 1.0 failed: BrokenPipeError" in err


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM", "SIGUSR1", "swallowed-SIGTERM"])
def test_before_a_run_a_signal_interrupts(do: Run, sent: str) -> None:
    before = [signal.signal(n, signal.default_int_handler) for n in signals.SIGNALS]
    try:
        code, _, err = do("do", sent)
        assert code == 75 and err.strip() == "Error: interrupted."
        assert all(signal.getsignal(n) is signal.default_int_handler for n in signals.SIGNALS)
    finally:
        for number, handler in zip(signals.SIGNALS, before, strict=True):
            signal.signal(number, handler)


def test_a_signal_that_an_import_swallowed_stops_the_run() -> None:
    with signals.raise_interrupt(ignore_afterwards=False):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGUSR1)
        with signals.stop_requested() as stop:
            assert stop()
    with signals.raise_interrupt(ignore_afterwards=False), signals.stop_requested() as stop:
        assert not stop()
        signals.ignore_from_now_on()
    with signals.raise_interrupt(ignore_afterwards=False):
        signals.ignore_from_now_on()
        os.kill(os.getpid(), signal.SIGUSR1)  # nothing


@pytest.mark.parametrize("sent", signals.SIGNALS)
def test_what_was_ignored_stays_ignored(sent: signal.Signals) -> None:
    """As ``nohup`` and a shell's background jobs have it."""
    before = signal.signal(sent, signal.SIG_IGN)
    try:
        with signals.raise_interrupt(ignore_afterwards=False), signals.stop_requested() as stop:
            os.kill(os.getpid(), sent)
            assert signal.getsignal(sent) == signal.SIG_IGN and not stop()
            with signals.ctrl_c() as pressed:
                os.kill(os.getpid(), sent)
                assert not pressed()
            other = next(n for n in signals.SIGNALS if n != sent)
            os.kill(os.getpid(), other)
            assert stop()
        assert signal.getsignal(sent) == signal.SIG_IGN
    finally:
        signal.signal(sent, before)


@pytest.mark.slow
def test_a_job_in_the_background_is_not_interrupted(tmp_path: Path) -> None:
    """``counterplay run ... &`` in a script: Ctrl-C is for what runs in the foreground."""
    line = [*LINE, "run", "quadratic", "--solver", "cgd", "--steps", "2000", "--no-compile", "--quiet", "--out", "d"]
    running = subprocess.Popen(
        line, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    while not (tmp_path / "d" / "checkpoints").exists() and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=100)
    assert running.returncode == 0 and out.startswith("max_steps after 2000 steps")


@pytest.mark.slow
@pytest.mark.parametrize("sent", signals.SIGNALS)
def test_no_signal_kills_at_any_moment(sent: signal.Signals, tmp_path: Path) -> None:
    """From when the command line has begun; Python itself takes a moment before."""
    run = ["run", "quadratic", "--solver", "simgd", "--steps", "50", "--quiet", "--no-compile", "--out"]
    began = time.monotonic()
    subprocess.run([*LINE, *run, str(tmp_path / "whole")], check=True, capture_output=True)
    whole = time.monotonic() - began
    for n in range(SWEEP):
        process = subprocess.Popen(
            [*LINE, *run, str(tmp_path / f"{n}")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        until = time.monotonic() + 0.5 + (whole - 0.5) * n / SWEEP
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(sent)
        _, err = process.communicate(timeout=100)
        assert process.returncode in (0, 75) and "Traceback" not in err, (n, process.returncode, err)


def test_what_is_written_below_python_is_diverted_too(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    with streams.stdout_to_stderr():
        os.write(1, b"raw")
    os.write(1, b"mine")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("mine", "raw")
