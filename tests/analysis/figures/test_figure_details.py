"""Figures look right whatever was recorded: room for every panel, axes that hold all numbers, words that agree."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.figures.plot import FIGURES, plot
from counterplay.analysis.log.log import open_log
from counterplay.core.log.schema import Layout
from counterplay.core.storage.run_directory import RunDirectory

from ...conftest import Run
from ...support.logs import J, gan, quadratic, written

NAMES = ("a_run_with_quite_a_long_name", "another_one_with_a_long_name", "the_third_one_of_these_runs")
SIDE = 3


def grid(path: Path, least: float = 0.004) -> Path:
    """An ensemble over the step sizes of both players: what the figure "stability" needs."""
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0.05, 0.15, SIDE), np.linspace(least, 0.02, SIDE)))
    v = 0.9 ** np.arange(60)[:, None, None] * np.ones((60, SIDE**2, 2))
    F = np.stack([np.linalg.eigvals(np.eye(2) - np.diag(lr) @ J) for lr in zip(x, y, strict=True)])
    last = {"step": 59, "eigenvalues": np.tile(np.linalg.eigvals(J), (SIDE**2, 1)), "update_eigenvalues": F}
    rows: list[Any] = [("step", {"step": k, "losses": v[k], "gradient_norms": v[k]}) for k in range(60)]
    asked = {"game": "quadratic", "solver": {"name": "simgd", "lr": {"x": x.tolist(), "y": y.tolist()}}}
    return written(path, Layout(("x", "y"), members=SIDE**2), [*rows, ("spectrum", last)], {"experiment": asked})


def of_two_settings(path: Path, x: float, gamma: float) -> Path:
    """A run in which two settings differ from others: what the figure "heatmap" needs."""
    rows = [("step", {"step": k, "losses": [x, -x], "gradient_norms": [x**k, gamma**k]}) for k in range(3)]
    asked = {"game": "quadratic", "solver": {"name": "conopt", "lr": x, "gamma": gamma}}
    return written(path, Layout(("x", "y")), rows, {"experiment": asked})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    base = tmp_path_factory.mktemp("three")
    settings = iter([(0.1, 0.5), (0.2, 0.5), (0.2, 0.9)])
    made: dict[str, Callable[[Path], Path]] = {"quadratic": quadratic, "gan": gan, "grid": grid}
    made["pairs"] = lambda path: of_two_settings(path, *next(settings))
    return {kind: [make(base / kind / name) for name in NAMES] for kind, make in made.items()}


OTHERS = {"samples": "gan", "metrics": "gan", "stability": "grid", "heatmap": "pairs"}
KINDS = dict.fromkeys(FIGURES, "quadratic") | OTHERS


@pytest.mark.parametrize("name", FIGURES)
def test_three_runs_leave_every_panel_its_room(three: dict[str, list[Path]], name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that was given up, of a legend beyond the page
        drawn = plot(name, three[KINDS[name]])
        drawn.draw_without_rendering()
    inches = drawn.get_size_inches() * drawn.dpi
    panels = [axes for axes in drawn.axes if axes.get_label() != "<colorbar>" and axes.axison]
    assert panels
    for axes in panels:
        box = axes.get_window_extent()
        assert min(box.width, box.height) > 1.4 * drawn.dpi, "a panel is squeezed"
    for legend in [*drawn.legends, *(legend for a in drawn.axes if (legend := a.get_legend()))]:
        box = legend.get_window_extent()
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < inches[0] + 1 and box.y1 < inches[1] + 1, "a legend is cut off"


# ------------------------------------------------------------------------------------------------- far numbers

FAR = {
    "doubly exponential": np.exp(np.minimum(np.arange(28.0) ** 2, 709)),
    "to both ends": np.geomspace(1e-320, 1.7e308, 28),
    "all too large": np.geomspace(1e290, 1e300, 28),
    "tiny": np.geomspace(1e-300, 1e-310, 28),
    "then infinite": np.append(np.geomspace(1, 1e250, 27), np.inf),
}


QUICK = ("doubly exponential", "tiny")


@pytest.mark.parametrize("members", [None, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", [pytest.param(w, marks=() if w in QUICK else pytest.mark.slow) for w in FAR])
def test_no_number_breaks_an_axis(tmp_path: Path, what: str, members: int | None) -> None:
    size = FAR[what] if members is None else np.stack([FAR[what]] * members, 1)
    both = np.stack([size, -size], -1)
    rows = []
    for k, x in enumerate(both):
        row = {"losses": x, "gradient_norms": abs(x), "parameter_norms": abs(x), "parameters": x}
        rows += [("step", {"step": k, **row}), ("metrics", {"step": k, "score": x[..., 0]})]
    path = written(tmp_path / "run", Layout(("x", "y"), ("x/value", "y/value"), members=members), rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("trajectory", "field", "metrics", "losses"):
            drawn = plot(name, path)
            drawn.draw_without_rendering()
    for axes in drawn.axes:
        low, high = axes.get_ylim()
        seen = [np.ravel(line.get_ydata()).astype(float) for line in axes.lines]
        values = np.concatenate(seen or [np.ones(1)])
        values = values[np.isfinite(values) & (values != 0)]
        assert np.isfinite([low, high]).all() and ((values >= low) & (values <= high)).all()
        positive = axes.get_yscale() == "log"
        assert not positive or what in ("all too large", "tiny") or np.log10(high) - np.log10(low) > 100, (
            "the axis spans them"
        )


def test_what_came_before_an_explosion_can_still_be_seen(tmp_path: Path) -> None:
    """A loss that turns about ±50 for long and ends at 1e270: zero, fifty and the end are apart."""
    loss = np.append(50 * np.cos(np.arange(30)), 10.0 ** np.arange(10, 280, 30))
    rows = [("step", {"step": k, "losses": [x, -x]}) for k, x in enumerate(loss)]
    axes = plot("losses", written(tmp_path / "run", Layout(("x", "y")), rows)).axes[0]
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(0, y) for y in (0, 50, 1e270)]))[:, 1]
    assert heights[1] - heights[0] > 0.03 and heights[2] - heights[1] > 0.3


# ------------------------------------------------------------------------------------------------- what belongs to whom


def test_each_row_of_spectra_names_its_run(three: dict[str, list[Path]]) -> None:
    heads = [
        axes.get_title() for axes in plot("spectrum", three["quadratic"][:2]).axes if "Jacobian" in axes.get_title()
    ]
    assert [head.partition("\n")[0] for head in heads] == list(NAMES[:2])
    assert plot("spectrum", three["quadratic"][0]).axes[0].get_title() == "Jacobian J of the game"


def test_runs_come_before_marks_in_the_legend_of_paths(three: dict[str, list[Path]]) -> None:
    legend = plot("trajectory", three["quadratic"][:2]).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [*NAMES[:2], "start", "end"]


def test_a_member_that_diverged_ends_as_such(tmp_path: Path) -> None:
    path = quadratic(tmp_path / "run", members=2)
    RunDirectory(path).write_status("max_steps", 60, diverged_members=[1])
    ends = [line for line in plot("trajectory", path).axes[0].lines if line.get_marker() in ("s", "X")]
    assert [line.get_marker() for line in ends] == ["s", "X"]
    assert [line.get_label() for line in ends] == ["end", "end, diverged"]


def test_bars_stand_at_their_ticks_where_one_run_alone_has_them(tmp_path: Path, three: dict[str, list[Path]]) -> None:
    rows: list[Any] = [("metrics", {"step": 0, "score": 1.0}), ("step", {"step": 0, "losses": [0.0, 0.0]})]
    other = written(tmp_path / "run", Layout(("generator", "discriminator")), rows)
    axes = next(axes for axes in plot("metrics", [other, three["gan"][0]]).axes if axes.patches)
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(list(range(10)))


def test_no_cell_of_a_stability_map_reaches_below_0(tmp_path: Path) -> None:
    axes = plot("stability", grid(tmp_path / "run", least=0.001)).axes[0]
    assert axes.get_ylim()[0] == 0  # half a cell below 0.001 would be -0.00375
    assert axes.get_xlim() == pytest.approx((0.025, 0.175))


def test_labels_of_far_paths_do_not_overlap(tmp_path: Path) -> None:
    rows = [("step", {"step": k, "losses": [0.0, 0.0], "parameters": [-236.35 + k / 400, k]}) for k in range(30)]
    drawn = plot("trajectory", written(tmp_path / "run", Layout(("x", "y"), ("x/value", "y/value")), rows))
    drawn.draw_without_rendering()
    low, high = drawn.axes[0].get_xlim()
    boxes = [t.get_window_extent() for t in drawn.axes[0].get_xticklabels() if low <= t.get_position()[0] <= high]
    assert len(boxes) > 2 and all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


# ------------------------------------------------------------------------------------------------- periodic solvers


def words(drawn: Any) -> str:
    return " ".join(t.get_text() for t in drawn.findobj(Text))


@pytest.mark.parametrize("period", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_words_say_of_how_many_steps_a_derivative_is(tmp_path: Path, cli: Run, period: int) -> None:
    path = quadratic(tmp_path / "run")
    run = RunDirectory(path)
    facts = {**run.run(), "period": period}
    (path / "run.json").unlink()
    RunDirectory.create(tmp_path / "other", facts)
    (tmp_path / "other" / "run.json").rename(path / "run.json")
    shutil.copytree(path, tmp_path / "copy")
    rho = 0.962497
    rate, spectra = words(plot("rate", path)), words(plot("spectrum", path))
    text = table([summarize(open_log(path))])
    power = "" if period == 1 else "^(1/5)"
    assert f"predicted ρ(F'){power} = {rho ** (1 / period):.6g}"[:-1] in rate
    assert f"predicted rate a step, ρ(F'){power}" in words(plot("rate", [path, tmp_path / "copy"]))
    assert ("One step's derivative F'" in spectra) == (period == 1)
    assert ("Derivative F' of one period, 5 steps" in spectra) == (period == 5)
    assert ("spectral radius of F', 5 steps" in text) == (period == 5) and f"{rho ** (1 / period):.5g}" in text


def test_the_command_line_says_it_too(cli: Run) -> None:
    out = cli("spectrum", "bilinear", "--solver", "lookahead-minmax", "-s", "lr=0.1")[1]
    assert "F' of 5 steps (4)" in out and "ρ(F' of 5 steps)  " in out


# ------------------------------------------------------------------------------------------------- eigenvalues as text


def test_rounding_is_no_part_of_an_eigenvalue(cli: Run) -> None:
    out = cli("spectrum", "quadratic")[1]
    assert "  0+9.79796i " in out and "e-16+" not in out and "-0" not in out.replace("0-9.79796i", "")
    assert cli("run", "bilinear", "--solver", "simgd", "--steps", 4, "--spectrum-every", 4, "--out", "b")[0] == 0
    text = cli("summary", "b")[1]
    assert "leading eigenvalues" in text and "  0+1i 0-1i\n" in text
