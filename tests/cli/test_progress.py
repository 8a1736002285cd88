"""The progress display: what it shows, how often, and what it never does to a run."""

from __future__ import annotations

import io
import sys

import pytest
import torch

from counterplay.core.terminal import progress
from counterplay.core.terminal.progress import figures, shown


def test_figures() -> None:
    assert figures({"x": 1.23456, "y": torch.tensor(-2.0)}) == "x 1.235  y -2"
    assert figures({"x": torch.tensor([3.0, 1.0, 2.0])}) == "x 1 to 3"
    assert figures({}) == ""


def test_quiet_shows_nothing() -> None:
    with shown(quiet=True) as display:
        assert display is None


@pytest.mark.parametrize("steps", [1, 3, 10, 15, 1000])
def test_lines_at_every_tenth(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(quiet=False) as display:
        assert display is not None
        for step in range(1, steps + 1):
            display(step, steps, {"x": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == min(steps, 10)
    assert lines[-1] == f"step {steps}/{steps}  x 0.5  0:00 left"


def test_losses_are_only_looked_at_when_shown(capsys: pytest.CaptureFixture[str]) -> None:
    looked = 0

    class Loss:
        def tolist(self) -> float:
            nonlocal looked
            looked += 1
            return 1.0

    with shown(quiet=False) as display:
        assert display is not None
        for step in range(1, 1001):
            display(step, 1000, {"x": Loss()})
    assert looked == 10


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with shown(quiet=False) as display:
        assert display is not None
        display(1, 4, {"x": 0.25})
        display(4, 4, {"x": 0.75})
    said = terminal.getvalue()
    assert "4/4" in said and "x 0.75" in said


def test_time_left_is_readable() -> None:
    assert [progress.clock(s) for s in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]
