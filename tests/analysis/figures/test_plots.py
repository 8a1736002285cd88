"""Figures from Python: on the user's own Axes, in the user's own style."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import counterplay as cp
from counterplay.analysis.figures import NAMES
from counterplay.analysis.log.log import Log
from counterplay.core.errors import UsageError

from ...support.logs import quadratic


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return cp.open_log(quadratic(tmp_path_factory.mktemp("plots") / "q", steps=20))


@pytest.fixture
def agg() -> Iterator[None]:
    with matplotlib.rc_context({"backend": "agg"}):
        yield
        pyplot.close("all")


def test_every_figure_has_a_function() -> None:
    assert sorted(dir(cp.plots)) == sorted([*NAMES, "save"])
    assert all(callable(getattr(cp.plots, name)) for name in NAMES)


def test_a_panel_is_drawn_on_the_axes_that_are_given(log: Log) -> None:
    one, two = Figure().subplots(2)
    before = dict(matplotlib.rcParams)
    assert cp.plots.losses(log, ax=one, panel=1) is one and not two.lines
    assert one.lines[1].get_ydata() == pytest.approx(log["step/gradient_norms"][:, 1])
    drawn = cp.plots.losses([log, log], axes=Figure().subplots(2, 2))
    assert drawn.shape == (4,) and [axes.get_ylabel() for axes in drawn[:2]] == ["loss of x", "loss of y"]
    assert dict(matplotlib.rcParams) == before


def test_wrong_axes_are_told(log: Log) -> None:
    axes = Figure().subplots()
    said = "has 2 panels and got 1 Axes: give axes= with 2 Axes, or ax= and panel=, one of 'loss', 'gradient norm'"
    with pytest.raises(UsageError, match=said):
        cp.plots.losses(log, ax=axes)
    with pytest.raises(UsageError, match="one of 'gradient norm of x', 'gradient norm of y'"):
        cp.plots.losses([log, log], ax=axes, panel="gradient norm")
    assert cp.plots.losses([log, log], ax=axes, panel="gradient norm of y").get_ylabel() == "gradient norm of y"
    with pytest.raises(UsageError, match=r"got 1 Axes: .* one of 0 to 5"):
        cp.plots.spectrum([log, log], ax=axes)
    with pytest.raises(UsageError, match="take matplotlib Axes"):
        cp.plots.trajectory(log, ax=np.zeros(1)[0])
    with pytest.raises(UsageError, match="panels 0 to 1, and no panel 2"):
        cp.plots.losses(log, ax=axes, panel=2)
    with pytest.raises(UsageError, match="not both"):
        cp.plots.trajectory(log, ax=axes, axes=[axes])


@pytest.mark.usefixtures("agg")
def test_the_user_s_style_and_width_hold(log: Log, tmp_path: Path) -> None:
    style: dict[Any, Any] = {"figure.figsize": (3.3, 2.2), "font.size": 8, "axes.grid": True, "axes.spines.top": True}
    with matplotlib.rc_context(style):
        axes = cp.plots.trajectory(log)
        fig = axes.figure
        fig.savefig(tmp_path / "a.pdf")
    assert fig.get_figwidth() == 3.3 and axes.spines["top"].get_visible()
    assert axes.xaxis.label.get_size() == 8 and fig.number in pyplot.get_fignums()
    assert b"/CIDFontType2" in (tmp_path / "a.pdf").read_bytes() and matplotlib.rcParams["pdf.fonttype"] == 3
    assert b"<svg" in cp.plots.save(axes, tmp_path / "a.svg").read_bytes()[:600]
