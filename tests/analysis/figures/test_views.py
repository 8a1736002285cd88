"""What a figure has in view, what it leaves out, and that it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from counterplay.analysis.drawing.curves import together
from counterplay.analysis.drawing.groups import groups
from counterplay.analysis.drawing.names import shown
from counterplay.analysis.figures.plot import plot
from counterplay.analysis.figures.trajectory import shrunk
from counterplay.analysis.log.log import open_log
from counterplay.core.errors import UsageError
from counterplay.core.log.schema import Layout, Variable

from ...support.logs import written


def words(drawn: Any) -> str:
    return " ".join(t.get_text() for t in drawn.findobj(Text))


def run(path: Path, gradients: Any, facts: Any = None, state: str = "max_steps", **columns: Any) -> Path:
    """A run of one player with these norms (n, …) and other columns (n, …)."""
    members = np.asarray(gradients).shape[1] if np.ndim(gradients) > 1 else None
    rows: list[Any] = []
    for k, size in enumerate(np.asarray(gradients, dtype=float)):
        own = {"losses": size[..., None], "gradient_norms": size[..., None]}
        rows.append(("step", {"step": k, **own, **{name: column[k] for name, column in columns.items()}}))
    names = ("x/a", "x/b") if "parameters" in columns else None
    return written(path, Layout(("x",), names, members=members), rows, facts or {}, (state, len(rows)))


def asked(seed: int, lr: float = 0.1) -> dict[str, Any]:
    return {"experiment": {"game": "quadratic", "solver": {"name": "cgd", "lr": lr}, "seed": seed}}


def test_curves_are_brought_to_one_axis() -> None:
    x, y = together(
        [(np.array([0, 2]), np.array([0.0, 4.0])), (np.array([0, 1, 1, 3]), np.array([1.0, 5.0, 2.0, 4.0]))]
    )
    assert x.tolist() == [0, 1, 2, 3]
    assert y[:, 0].tolist()[:3] == [0, 2, 4] and np.isnan(y[3, 0])  # no value beyond the end of a run
    assert y[:, 1].tolist() == [1, 2, 3, 4]  # of two rows at one cost the later counts


def test_seeds_of_one_experiment_are_one_curve(tmp_path: Path) -> None:
    paths = [run(tmp_path / f"{lr}-{s}", [1.0 + s, 2.0 + s], asked(s, lr)) for lr in (0.1, 0.2) for s in range(3)]
    logs = shown([open_log(p) for p in paths])
    assert [g.label for g in groups(logs)] == ["lr=0.1, 3 seeds", "lr=0.2, 3 seeds"]
    assert [len(g.logs) for g in groups(logs, each=True)] == [1] * 6 and len(groups(logs[:2])) == 2
    drawn = plot("losses", paths)
    assert drawn.axes[0].lines[0].get_ydata() == pytest.approx([2, 3])  # the median of 1, 2, 3 and of 2, 3, 4
    assert "median of 3 seeds" in words(drawn) and "10–90 % of seeds" in words(drawn)


def test_axes_end_twenty_decades_below_the_start(tmp_path: Path) -> None:
    axes = plot("losses", run(tmp_path / "run", 10.0 ** -np.arange(0.0, 222, 6))).axes[1]
    assert axes.get_yscale() == "log" and 1e-21 < axes.get_ylim()[0] < 1e-17


def test_runs_without_products_are_named_and_not_drawn(tmp_path: Path) -> None:
    one = run(tmp_path / "one", [3.0, 2.0, 1.0], asked(0), products=np.arange(3) * 7)
    none = run(tmp_path / "none", [3.0, 2.0, 1.0], asked(1, 0.2), products=np.zeros(3, int))
    drawn = plot("losses", [one, none], against="products")
    assert "lr=0.2, seed=1 (none): needs none" in words(drawn)
    drawn_at = [np.asarray(line.get_xdata()).tolist() for line in drawn.axes[0].lines]
    assert [x for x in drawn_at if x] == [[0, 7, 14]]
    with pytest.raises(UsageError, match="None of the runs needed any Jacobian-vector products"):
        plot("losses", [none, none], against="products")


def test_the_view_is_that_of_runs_that_did_not_diverge(tmp_path: Path) -> None:
    good = run(tmp_path / "good", [3.0, 2.0, 1.0], parameters=np.array([[1, 0], [0, 1], [0, 0.5]]))
    bad = run(
        tmp_path / "bad", [1.0, 1e9, 1e30], None, "diverged", parameters=10.0 ** np.array([[0, 0], [9, 9], [30, 30]])
    )
    drawn = plot("losses", [good, bad])
    assert drawn.axes[0].get_ylim()[1] < 4 and "bad, diverged" in words(drawn)
    axes = plot("trajectory", [good, bad]).axes[0]
    assert max(axes.get_xlim()) < 2 and "Paths" in axes.get_title()


def test_a_spiral_stays_a_spiral(tmp_path: Path) -> None:
    k = np.arange(40)
    turning = 3.0 ** k[:, None] * np.stack([np.cos(k / 2), np.sin(k / 2)], 1)
    x, y = shrunk(turning[:, 0], turning[:, 1], 1.0)
    assert np.arctan2(y, x) == pytest.approx(np.arctan2(np.sin(k / 2), np.cos(k / 2)))
    assert np.hypot(x, y) == pytest.approx(np.log10(1 + 3.0**k))
    drawn = plot("trajectory", run(tmp_path / "run", np.ones(40), None, "diverged", parameters=turning))
    assert drawn.axes[0].get_xscale() == "linear" and "$10^{18}$" in words(drawn)


def test_networks_begin_at_0(tmp_path: Path) -> None:
    at = np.array([[100.0, 7.0], [101.0, 9.0]])
    layout = Layout(("x",), directions=("d0", "d1"))
    rows: list[Any] = [("step", {"step": k, "losses": [0.0], "projection": at[k]}) for k in range(2)]
    path = plot("trajectory", written(tmp_path / "run", layout, rows)).axes[0].lines[0]
    assert path.get_xdata() == pytest.approx([0, 1]) and path.get_ydata() == pytest.approx([0, 2])


def spectra(path: Path, *rows: Any) -> Path:
    found = [("spectrum", {"step": k, "eigenvalues": z, "update_eigenvalues": z}) for k, z in enumerate(rows)]
    steps: list[Any] = [("step", {"step": k, "losses": [1.0], "gradient_norms": [1.0]}) for k in range(len(rows))]
    return written(path, Layout(("x",)), [*steps, *found], asked(0))


def test_the_last_spectrum_decides_the_view(tmp_path: Path) -> None:
    drawn = plot("spectrum", spectra(tmp_path / "run", [740 + 0j, -740j], [0.5 + 0j, 0.5j]))
    assert all(max(map(abs, axes.get_xlim())) < 4 for axes in drawn.axes[:2])
    assert "2 more out of view,\nup to |λ| = 740" in words(drawn)
    course = next(axes for axes in drawn.axes if axes.get_ylabel() == "|λ(F')|")
    assert [
        np.asarray(line.get_ydata()).tolist() for line in course.lines if line.get_label() == "largest of those found"
    ] == [[740, 0.5]]


def test_many_spectra_share_a_plane(tmp_path: Path) -> None:
    drawn = plot("spectrum", [spectra(tmp_path / f"r{i}", [complex(i, 1)]) for i in range(4)])
    assert len([axes for axes in drawn.axes if axes.get_xlabel()]) == 2 and drawn.get_figheight() < 6
    assert all(f"r{i}" in words(drawn) for i in range(4))


def test_a_map_says_what_it_needs_and_takes_one_step_size(tmp_path: Path) -> None:
    sizes = 0.9 ** np.arange(40.0)[:, None] * np.ones(3)
    with pytest.raises(UsageError, match=r"members differ in step sizes only, as in -s 'lr\.x="):
        plot("stability", run(tmp_path / "one", sizes[:, 0]))
    facts = {"experiment": {"game": "g", "solver": {"name": "simgd", "lr": [0.1, 0.2, 0.3]}}}
    axes = plot("stability", run(tmp_path / "three", sizes, facts)).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    assert points[:, 0] == pytest.approx([0.1, 0.2, 0.3]) and points[:, 1] == pytest.approx([0.9] * 3)
    assert axes.get_xlabel() == "lr"


def test_samples_show_the_data_and_say_whose_they_are(tmp_path: Path) -> None:
    rows: list[Any] = [("step", {"step": 0, "losses": np.zeros((2, 1))})]
    points = np.concatenate([np.zeros((8, 2)), [[99.0, 0.0]]])
    rows.append(("samples", {"step": 0, "points": points, "data": np.ones((5, 2))}))
    drawn = plot("samples", written(tmp_path / "run", Layout(("x",), members=2), rows))
    assert [len(np.asarray(c.get_offsets())) for c in drawn.axes[0].collections] == [5, 9]
    assert "member 0 of 2" in words(drawn) and "data" in words(drawn) and "1 of 9 out of view" in words(drawn)


def test_a_metric_without_a_unit_has_none_and_the_page_is_full(tmp_path: Path) -> None:
    layout = Layout(("x",), metrics=tuple(Variable(name, ("metrics",), "<f8", name, "1") for name in "abcde"))
    rows: list[Any] = [("metrics", {"step": k, **dict.fromkeys("abcde", 1.0 * k)}) for k in range(3)]
    drawn = plot("metrics", written(tmp_path / "run", layout, [("step", {"step": 0, "losses": [0.0]}), *rows]))
    assert "(1)" not in words(drawn) and not drawn.legends and not any(axes.get_legend() for axes in drawn.axes)
    drawn.draw_without_rendering()
    widths = [axes.get_window_extent().width for axes in drawn.axes]
    assert widths[4] > 1.8 * widths[0]


@pytest.mark.parametrize("figure", ["losses", "spectrum"])
def test_a_column_of_a_paper_has_room_for_all(tmp_path: Path, figure: str) -> None:
    drawn = plot(figure, [spectra(tmp_path / f"a_run_with_a_long_name_{i}", [1j, 2]) for i in range(2)], width=3.3)
    drawn.draw_without_rendering()
    page, boxes = drawn.bbox, [box for axes in drawn.axes if (box := axes.get_tightbbox()) is not None]
    assert drawn.get_figwidth() == 3.3 and len(boxes) == len(drawn.axes)
    for i, box in enumerate(boxes):
        assert box.x0 > -1 and box.x1 < page.x1 + 1 and box.y0 > -1 and box.y1 < page.y1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i])
    with pytest.raises(UsageError, match="choose from 2 to 100"):
        plot(figure, tmp_path / "a_run_with_a_long_name_0", width=0.1)
