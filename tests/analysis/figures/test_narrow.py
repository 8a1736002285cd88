"""Figures as wide as the column of a paper: nothing is cut off, no legend hides what is drawn, no page is too long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from counterplay.analysis.drawing.differences import differences
from counterplay.analysis.drawing.style import COLOURS, colour
from counterplay.analysis.figures.plot import plot
from counterplay.core.errors import UsageError
from counterplay.core.log.schema import Layout

from ...conftest import Run
from ...support.logs import quadratic, written

COLUMN = 3.3  # inches


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("ten")
    return [quadratic(base / f"run-{i}", lr=(0.09 - 0.005 * i, 0.01), steps=20) for i in range(10)]


def looked_at(drawn: Figure) -> None:
    """Assert that all text is within the page, that no legend is on a panel, and that the page is not too long."""
    drawn.draw_without_rendering()
    page, legends = drawn.bbox, [*drawn.legends, *(one for axes in drawn.axes if (one := axes.get_legend()))]
    boxes = [axes.get_tightbbox() for axes in drawn.axes] + [one.get_window_extent() for one in drawn.legends]
    for box in boxes:
        assert box is not None and box.x0 > -1 and box.y0 > -1 and box.x1 < page.x1 + 1 and box.y1 < page.y1 + 1
    for box in (legend.get_window_extent() for legend in legends):
        for axes in drawn.axes:
            assert not axes.get_window_extent().overlaps(box) and not axes.xaxis.label.get_window_extent().overlaps(box)
    assert drawn.get_figwidth() == COLUMN and drawn.get_figheight() <= 2.2 * COLUMN + 1e-9


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("figure", ["losses", "trajectory", "spectrum", "rate"])
def test_a_column_holds_the_whole_figure(ten: list[Path], figure: str, count: int) -> None:
    looked_at(plot(figure, ten[:count], width=COLUMN))


def test_a_panel_can_be_drawn_alone(ten: list[Path], cli: Run, tmp_path: Path) -> None:
    drawn = plot("spectrum", ten[:2], panel="F")
    assert [axes.get_xlabel() for axes in drawn.axes] == ["Re λ(F')"] * 2
    assert cli("plot", "losses", ten[0], "--panel", "1", "-o", tmp_path / "a.svg")[0] == 0
    with pytest.raises(UsageError, match=r"panels 0 to 2, and no panel 'block'; did you mean 'blocks'\? By name"):
        plot("spectrum", ten[0], panel="block")


def test_a_figure_can_do_without_its_title(ten: list[Path], cli: Run, tmp_path: Path) -> None:
    assert plot("losses", ten[:2]).get_suptitle() and not plot("losses", ten[:2], title=False).get_suptitle()
    assert cli("plot", "losses", ten[0], "--no-title", "-o", tmp_path / "a.svg")[0] == 0


def test_the_spectrum_of_a_step_is_shown_alone(tmp_path: Path) -> None:
    values = ([0.5], [0.25j], [2.0])
    rows: list[Any] = [
        ("spectrum", {"step": 10 * k, "eigenvalues": z, "update_eigenvalues": z}) for k, z in enumerate(values)
    ]
    path = written(tmp_path / "run", Layout(("x",)), rows)
    axes = plot("spectrum", path, panel="F", step=19).axes[0]
    assert axes.get_title() == "One step's derivative F', step 10\nρ(F') ≥ 0.25" and axes.figure.axes[1:] == []
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[0.0, 0.25]]
    assert {axes.get_title() for axes in plot("spectrum", path, step=19).axes} == {
        "Jacobian J of the game, step 10\neigenvalues of largest modulus", axes.get_title()
    }  # fmt: skip
    with pytest.raises(UsageError, match="no spectrum up to step -1; the first is of step 0"):
        plot("spectrum", path, step=-1)


def test_the_ink_is_that_of_the_style() -> None:
    with matplotlib.rc_context({"text.color": "white"}):
        assert (colour(6), colour(0)) == ("white", COLOURS[0])
    assert colour(6) == "black"


def test_labels_name_the_regularizers_that_differ() -> None:
    game = {"game": {"name": "g", "a": 1}, "solver": {"name": "s", "lr": 0.1}, "steps": 3}
    l1, l2 = {"name": "l1", "weight": 0.1, "player": "x"}, {"name": "l2", "weight": 1.0}
    asked = [game | {"regularizers": [l1, l2]}, game | {"regularizers": [l2], "steps": 9}]
    assert differences(asked) == [["l1"], ["no l1"]]
    asked = [game | {"regularizers": [l1]}, game | {"regularizers": [l1 | {"weight": 0.2}], "seed": 3}]
    assert differences(asked) == [["l1(weight=0.1)"], ["l1(weight=0.2)", "seed=3"]]
    asked = [game | {"solver": {"name": "s", "lr": lr}} for lr in (0.1, [0.1 * 3, 0.5], {"x": 1.0, "y": 2})]
    assert differences(asked) == [["lr=0.1"], ["lr=[0.3, 0.5]"], ["lr={x: 1.0, y: 2}"]]


def path_of(path: Path, parameters: np.ndarray) -> Path:
    names = tuple(f"x/{i}" for i in range(parameters.shape[1]))
    rows: list[Any] = [("step", {"step": k, "losses": [0.0], "parameters": p}) for k, p in enumerate(parameters)]
    return written(path, Layout(("x",), names), rows)


def test_paths_over_decades_have_numbers(tmp_path: Path) -> None:
    k = np.arange(60)
    turn = np.stack([np.cos(k / 3), np.sin(k / 3)], 1)
    inwards = plot("trajectory", path_of(tmp_path / "in", 0.7 ** k[:, None] * turn)).axes[0]
    assert "rings" not in inwards.get_xlabel() and inwards.get_xlim()[1] == pytest.approx(1, abs=0.1)
    outwards = plot("trajectory", path_of(tmp_path / "out", 2.0 ** k[:, None] * turn)).axes[0]
    ticks = dict(zip([t.get_text() for t in outwards.get_xticklabels()], outwards.get_xticks(), strict=True))
    assert list(ticks) == ["0", "$10^{17}$", "$10^{8}$"] and ticks["$10^{8}$"] == pytest.approx(np.log10(1 + 1e8))


def test_the_mean_of_a_path_is_not_marked_as_its_origin(tmp_path: Path) -> None:
    axes = plot("trajectory", path_of(tmp_path / "run", np.random.default_rng(0).normal(size=(9, 3)))).axes[0]
    assert [line.get_label() for line in axes.lines] == ["path", "start", "end"]


def test_all_recorded_eigenvalues_are_seen_over_the_steps(tmp_path: Path) -> None:
    row = {"eigenvalues": [1.0], "update_eigenvalues": [1.5], "update_far_eigenvalues": [0.25j]}
    rows: list[Any] = [("spectrum", {"step": k, **row}) for k in range(2)]
    axes = plot("spectrum", written(tmp_path / "run", Layout(("x",)), rows), panel="F-steps").axes[0]
    assert np.asarray(axes.collections[0].get_offsets())[:, 1].tolist() == [1.5, 0.25, 1.5, 0.25]
    assert axes.collections[0].get_zorder() > max(line.get_zorder() for line in axes.lines)
