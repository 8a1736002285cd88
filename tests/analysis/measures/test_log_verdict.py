"""Summaries and figures of what recorded spectra mean, on runs of real solvers."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.text import Text

import counterplay as cp
from counterplay.analysis.commands.report import write_report
from counterplay.analysis.commands.summary import summarize, table
from counterplay.analysis.figures import plot as figures
from counterplay.analysis.figures.field import mean_steps
from counterplay.analysis.figures.plot import holds, plot, render
from counterplay.analysis.figures.stability import sizes_of
from counterplay.analysis.log.log import open_log
from counterplay.analysis.measures.log_verdict import meaning
from counterplay.core.storage.strict_json import dumps

SIDE = 7


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    game = cp.make("game", "quadratic")

    def run(name, solver, steps=600, game=game, **more):
        cp.run(game, solver, steps=steps, spectrum_every=steps, out=base / name, **more)

    run("good", cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01}))
    run("one", cp.make("solver", "simgd", lr=0.1), game=cp.make("game", "quadratic", b=1.0, c=-1.0), steps=100)
    x, y = np.meshgrid(np.linspace(0.05, 0.15, SIDE), np.linspace(0.004, 0.04, SIDE))
    lr = {"x": x.ravel().tolist(), "y": y.ravel().tolist()}
    run("map", cp.make("solver", "simgd", lr=lr), members=SIDE**2, steps=400)
    scattered = {"x": [0.05, 0.07, 0.1, 0.13, 0.06], "y": [0.01, 0.03, 0.02, 0.005, 0.004]}
    run("scattered", cp.make("solver", "simgd", lr=scattered), members=5, steps=300)
    start = {i: {"value": torch.from_numpy(a.ravel()[:, None])} for i, a in zip("xy", (x, y), strict=True)}
    run("many", cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01}), members=SIDE**2, start=start, steps=80)
    adam = cp.make("solver", "simgd", lr=1e-3, rule="adam")
    run("gan", adam, game=cp.make("game", "affine-gaussian"), steps=60)
    return {p.name: p for p in base.iterdir()}


def test_summary_of_the_quadratic_game(runs: dict[str, Path]) -> None:
    facts = summarize(open_log(runs["good"]))
    said = facts["meaning"]
    assert said["predicted_rate"] == pytest.approx(0.96250, abs=5e-6)
    assert said["measured_rate"] == pytest.approx(said["predicted_rate"], abs=1e-5)
    assert said["kind"]["name"] == "stable_not_nash" and said["joint_part"] == pytest.approx(2)
    assert said["phase"] is None and said["largest_step"] == 0 and said["complete"] is True
    assert json.loads(dumps(facts))["meaning"]["steps_to_epsilon"] == 362
    text = table([facts])
    for words in ("∞", "stable but not Nash: y's own block has λ = -2", "measured rate a step", "0.96249"):
        assert words in text


def test_every_member_s_rate_is_as_predicted(runs: dict[str, Path]) -> None:
    said = meaning(open_log(runs["map"]))
    assert said is not None
    predicted, measured = np.array(said["predicted_rate"]), np.array(said["measured_rate"], dtype=float)
    assert np.isfinite(measured).mean() > 0.9
    assert np.nanmax(np.abs(measured - predicted)) < 2e-3
    counts = said["kind"]["curvatures"]
    assert counts["stable_not_nash"] == (predicted < 1 - 1e-9).sum() and sum(counts.values()) == SIDE**2
    assert "stable but not Nash" in table([summarize(open_log(runs["map"]))])


def test_a_member_that_diverged_is_measured_while_it_moved(tmp_path: Path) -> None:
    solver = cp.make("solver", "simgd", lr=[0.5, 0.03])
    cp.run(cp.make("game", "quadratic"), solver, members=2, steps=500, spectrum_every=500, out=tmp_path / "d")
    said = meaning(open_log(tmp_path / "d"))
    assert said is not None
    assert said["predicted_rate"][0] > 4 and open_log(tmp_path / "d").status["diverged_members"] == [0]
    assert said["measured_rate"][0] == pytest.approx(said["predicted_rate"][0], rel=0.02)
    assert said["measured_rate"][1] == pytest.approx(said["predicted_rate"][1], rel=1e-3)


def test_without_spectra_nothing_is_said(tmp_path: Path) -> None:
    cp.run(cp.make("game", "quadratic"), cp.make("solver", "simgd"), steps=20, out=tmp_path / "q")
    log = open_log(tmp_path / "q")
    assert summarize(log)["meaning"] is None and meaning(log) is None
    assert not holds(log, "rate") and not holds(log, "stability") and holds(log, "field")


def test_a_lone_log_file_is_enough(runs: dict[str, Path]) -> None:
    said = summarize(open_log(runs["good"] / "log.h5"))["meaning"]
    assert said["measured_rate"] == pytest.approx(0.96250, abs=1e-5) and said["complete"] is True
    assert render(plot("rate", runs["good"] / "log.h5"), "png", dpi=40)


CAN = {
    "rate": {"good", "one", "map", "scattered", "many", "gan"},
    "spectrum": {"good", "one", "map", "scattered", "many", "gan"},
    "field": {"good", "one", "map", "scattered", "many"},  # gan has four parameters
    "stability": {"map", "scattered"},
}


@pytest.mark.parametrize("name", CAN)
def test_the_figures_are_drawn(runs: dict[str, Path], name: str) -> None:
    assert {run for run, path in runs.items() if holds(open_log(path), name)} == CAN[name]
    for run in CAN[name]:
        drawn = plot(name, runs[run])
        assert render(drawn, "png", dpi=40).startswith(b"\x89PNG"), run
        assert all(a.get_xlabel() and a.get_ylabel() for a in drawn.axes if a.get_label() != "<colorbar>")


def test_members_that_differ_by_more_than_step_sizes_have_no_map(runs: dict[str, Path]) -> None:
    assert sizes_of(open_log(runs["many"])) is None


def _words(drawn) -> str:
    return " ".join(t.get_text() for t in drawn.findobj(Text))


def test_the_rate_figure_says_both_rates(runs: dict[str, Path]) -> None:
    words = _words(plot("rate", runs["good"]))
    assert "measured 0.962" in words and "predicted ρ(F') = 0.962497" in words
    assert "as predicted" in _words(plot("rate", [runs["good"], runs["map"]]))


def test_the_map_s_border_is_where_the_rate_is_1(runs: dict[str, Path]) -> None:
    drawn = plot("stability", runs["map"])
    words = _words(drawn)
    assert "predicted border" in words and "lr of x" in words and "moves away" in words
    axes = drawn.axes[0]
    (border,) = (c for c in axes.collections if type(c).__name__ == "QuadContourSet")
    line = max((np.asarray(p.vertices) for p in border.get_paths()), key=len)
    for x, y in line:  # 1 - eta 2 + ... : trace and determinant of F' give |lambda|^2 = det
        assert (1 - 2 * x) * (1 + 2 * y) + 100 * x * y == pytest.approx(1, abs=5e-3)


def test_the_disc_of_the_step(runs: dict[str, Path]) -> None:
    for ascent in (False, True):
        drawn = plot("spectrum", runs["one"], ascent=ascent)
        assert "step η = 0.1 converges" in _words(drawn)
    assert "converges" not in _words(plot("spectrum", runs["good"])).replace("converges: |λ| < 1", "")


def test_mean_steps_are_the_solver_s(runs: dict[str, Path]) -> None:
    """A step of simgd is linear in θ, so that the mean of steps is the step at the mean."""
    log = open_log(runs["many"])
    at, moves = mean_steps(log["step/step"], log["step/parameters"], np.array([[-0.2, -0.1], [0.2, 0.1]]))
    J = np.array([[2.0, 10.0], [-10.0, -2.0]])
    assert len(at) > 20
    assert np.allclose(moves, -at @ J.T * [0.09, 0.01], atol=1e-12)
    assert (at >= [-0.2, -0.1]).all() and (at <= [0.2, 0.1]).all()


def test_the_report_has_them(runs: dict[str, Path], tmp_path: Path) -> None:
    text = write_report([runs["map"]], tmp_path / "r.html").read_text(encoding="utf-8")
    for figure in ("rate", "stability", "field"):
        assert html.escape(figures.FIGURES[figure].summary) in text
    assert "kind of point" in text


def test_hostile_figures_do_not_break_a_summary(tmp_path: Path) -> None:
    """Spectra of NaN, players by other names, a type that is none: facts, not tracebacks."""
    from counterplay.core.log.schema import Layout
    from counterplay.core.log.writer import LogWriter
    from counterplay.core.storage.run_directory import RunDirectory

    facts = {"players": {"a": 1}, "dtype": "float7", "experiment": {"solver": {"name": "simgd", "lr": "x"}}}
    run = RunDirectory.create(tmp_path / "h", facts)
    writer = LogWriter(run.path, Layout(("x", "y")))
    writer.append("step", {"step": 0, "losses": [1.0, 2.0]})
    nan = np.full(2, complex(np.nan, np.nan))
    found = {"eigenvalues": nan, "update_eigenvalues": nan, "block_eigenvalues": nan.reshape(2, 1)}
    writer.append("spectrum", {"step": 0, **found})
    writer.finish()
    said = summarize(open_log(run.path))["meaning"]
    assert said["kind"] is None and said["phase"] is None and said["measured_rate"] is None
    assert table([summarize(open_log(run.path))])
