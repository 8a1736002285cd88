"""The progress display: what it shows, how often, and what it never does to a run."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.spectra.krylov_schur import krylov_schur
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


class Kernel:
    """IPython in a notebook, as far as a display uses it."""

    kernel = object()

    def __init__(self) -> None:
        self.shown: list[str] = []

    def get_ipython(self) -> Kernel:
        return self

    def display(self, data: dict[str, str], raw: bool, display_id: bool = False) -> Kernel:
        self.shown.append(data.get("text/html", data["text/plain"]))
        return self

    update = display


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Not in a test, as far as the display can see, and without patience."""
    monkeypatch.setattr(progress, "_in_a_test", lambda: False)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def played(**options: Any) -> None:
    cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=3, **options)


def test_a_run_from_python_is_shown_where_somebody_looks_on(somewhere: pytest.MonkeyPatch) -> None:
    somewhere.setattr(sys, "stderr", terminal := Terminal())
    played()
    assert "3/3" in terminal.getvalue() and "x " in terminal.getvalue()


@pytest.mark.parametrize("why", ["a pipe", "a test", "not wanted", "another process"])
def test_it_is_not_shown(somewhere: pytest.MonkeyPatch, why: str) -> None:
    somewhere.setattr(sys, "stderr", terminal := io.StringIO() if why == "a pipe" else Terminal())
    if why == "a test":
        somewhere.setattr(progress, "_in_a_test", lambda: True)
    if why == "another process":
        somewhere.setenv("RANK", "1")
    if why == "another process":
        with progress.shown_to_python(None) as display:
            assert display is None
    else:
        played(**{"progress": False} if why == "not wanted" else {})
    assert terminal.getvalue() == ""


def test_lines_are_shown_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    played(progress=True)
    assert capsys.readouterr().err.splitlines()[-1].startswith("step 3/3  x ")


def test_the_line_of_a_notebook_s_cell(somewhere: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    somewhere.setitem(sys.modules, "IPython", kernel)
    somewhere.setitem(sys.modules, "IPython.display", kernel)
    somewhere.setattr(progress, "_CELL_SECONDS", 0.0)
    played()
    assert kernel.shown[0].startswith("step 1/3  x ") and kernel.shown[-1] == ""


def test_spectra_name_their_cost_before_the_first_product(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("counterplay.core.spectra.spectrum.DENSE", 10)
    monkeypatch.setattr("counterplay.core.spectra.point_spectra.DENSE", 10)
    game = cp.make("game", "mixture", hidden=4, layers=1, latent=2, batch=4)
    told: list[tuple[int, int]] = []

    class Display:
        def __call__(self, step: int, steps: int, losses: Any) -> None:
            told.append((-1, step))

        def spectra(self, done: int, most: int) -> None:
            told.append((done, most))

    products: list[int] = []
    monkeypatch.setattr(
        "counterplay.core.spectra.spectrum.krylov_schur",
        lambda A, *rest: krylov_schur(lambda u: (products.append(len(told)), A(u))[1], *rest),
    )
    cp.run(game, cp.make("solver", "simgd"), steps=2, spectrum_every=2, history=True, progress=Display())
    first = told[: told.index((-1, 1))]
    most = first[0][1]
    assert first[0] == (0, most) and first[-1] == (most, most) and products[0] == 1
    assert [done for done, _ in first] == sorted(done for done, _ in first) and {m for _, m in first} == {most}
    assert len(first) - 2 <= most == 100 * (2 + 3) + 300
    cp.run(game, cp.make("solver", "simgd"), steps=2, spectrum_every=2, history=True, progress=True)
    assert capsys.readouterr().err.startswith("spectra: at most 800 products\n")


def test_long_spectra_say_how_far_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 105.0, 110.0, 115.0, 121.0])
    monkeypatch.setattr("counterplay.core.terminal.progress.time.monotonic", lambda: next(clock))
    with shown(quiet=False) as lines:
        for done in (0, 100, 200, 300, 800):
            lines.spectra(done, 800)  # type: ignore[union-attr]
    assert capsys.readouterr().err.split("\n")[1:] == ["spectra: 200 of at most 800 products  at most 0:30 left", ""]


@pytest.mark.parametrize(
    ("done", "total", "at_once", "left"),
    [(1, 4, 1, "3:00"), (1, 4, 2, "1:00"), (2, 4, 2, "1:00"), (3, 4, 2, "0:00"), (4, 4, 2, "0:00")],
)
def test_those_under_way_end_with_the_last_that_has(done: int, total: int, at_once: int, left: str) -> None:
    assert progress._left(60.0 * max(-(-done // at_once), 1), done, total, at_once) == left
