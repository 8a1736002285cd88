"""Many runs compared: a row for each, medians over seeds, who was first, and files for other programs."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from counterplay.analysis.commands.run_table_text import lines, write
from counterplay.analysis.commands.summary import _settings
from counterplay.analysis.figures.plot import plot
from counterplay.analysis.measures.found_runs import find_runs
from counterplay.analysis.measures.run_table import columns_of, fastest, over_seeds, run_table, sorted_by, table_of_logs
from counterplay.core.errors import BadLog, UsageError
from counterplay.core.log.brief import PARTS, brief
from counterplay.core.log.safety import check_open
from counterplay.core.log.sandbox import Sandbox
from counterplay.core.log.schema import Layout, Variable
from counterplay.core.storage.run_directory import RunDirectory
from counterplay.core.sweep.grid import grid
from counterplay.core.sweep.sweep_directory import SweepDirectory

from ...conftest import Run
from ...support.hostile import in_log
from ...support.logs import written


def run(path: Path, rate: float, seed: int, solver: str = "cgd", lr: float = 0.1, state: str = "max_steps") -> Path:
    """Norms rate**k, and 3 products a step."""
    rows: list[Any] = []
    for k in range(31):
        size = rate**k
        row = {"losses": [size, -size], "gradient_norms": [0.6 * size, 0.8 * size], "products": 3 * k, "gradients": k}
        row["parameter_norms"] = [1.0, 1.0]  # which no table shows
        rows.append(("step", {"step": k, **row, "wall_seconds": k / 10}))
    rows.append(("metrics", {"step": 30, "score": 100 * rate}))
    asked = {"game": "quadratic", "solver": {"name": solver, "lr": lr}, "seed": seed}
    layout = Layout(("x", "y"), metrics=(Variable("score", ("metrics",), "<f8", "score"),))
    return written(path, layout, rows, {"experiment": asked, "seed": seed}, (state, 30))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two solvers, two seeds each: cgd is faster; a fifth cell was refused, and a sixth has not begun."""
    path = tmp_path_factory.mktemp("sweep") / "s"
    axes: dict[str, Any] = {"solver": ["cgd", "simgd", "ogda"], "solver.lr": [0.1], "seed": [0, 1]}
    found = SweepDirectory(path)
    for cell in found.plan(grid({"game": {"name": "quadratic"}, "steps": 30}, axes)):
        solver, seed = str(cell.settings["solver"]), int(cell.settings["seed"])
        if solver != "ogda":
            run(found.directory(cell.name), {"cgd": 0.5, "simgd": 0.6}[solver] + 0.02 * seed, seed, solver)
        elif seed == 0:
            RunDirectory(found.directory(cell.name)).path.mkdir(parents=True)
            RunDirectory(found.directory(cell.name)).write_status("failed", 0, "no.")
    return path


def test_a_log_in_brief_has_the_last_numbers_and_the_first_below(tmp_path: Path) -> None:
    path = run(tmp_path / "run", 0.5, 0) / "log.h5"
    found = brief(path, 1e-3)
    assert found["gradient_norm"] == pytest.approx(0.5**30) and found["losses"]["y"] == -(0.5**30)
    assert found["reached"] == pytest.approx({"step": 10, "gradients": 10, "products": 30, "wall_seconds": 1.0})
    assert found["costs"]["products"] == 90 and found["metrics"] == {"score": 50.0}
    assert brief(path, 1e-30)["reached"] is None
    assert Sandbox().brief(path, 1e-3) == found


def test_of_an_ensemble_it_is_the_median(tmp_path: Path) -> None:
    rows: list[Any] = []
    for k in range(3):
        norms = np.array([[1.0], [10.0], [np.inf if k == 2 else 100.0]]) / 10**k
        rows.append(("step", {"step": k, "losses": norms, "gradient_norms": norms}))
    found = brief(written(tmp_path / "run", Layout(("x",), members=3), rows) / "log.h5", 0.5)
    assert found["gradient_norm"] == pytest.approx(0.1) and found["reached"] == {"step": 2}


def test_a_sweep_is_a_table_of_the_cells_that_have_rows(sweep: Path) -> None:
    rows = run_table(find_runs([sweep]))
    assert [(r["run"], r["solver"], r["seed"]) for r in rows] == [
        ("cgd, seed=0", "cgd", 0), ("cgd, seed=1", "cgd", 1),
        ("simgd, seed=0", "simgd", 0), ("simgd, seed=1", "simgd", 1),
    ]  # fmt: skip
    assert [r["score"] for r in sorted_by(rows, "-score")] == [62, 60, 52, 50]
    assert fastest(rows, "products", 1e-6) == (
        "Fastest to a gradient norm below 1e-06 by products: cgd, seed=0 (60; 4 of 4 runs reached it)."
    )
    assert rows[0]["products_to_1e-06"] == 60  # 0.5**20 < 1e-6 < 0.5**19
    assert fastest([row | {"products_to_1e-06": 0} for row in rows], "products", 1e-6) == ""  # none used any
    with pytest.raises(UsageError, match="no column 'scores'; did you mean 'score'"):
        sorted_by(rows, "scores")


def test_of_a_cell_three_files_are_opened_and_what_is_compared_is_walked(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_runs([sweep])
    with h5py.File(found[0].path / "log.h5") as file:
        assert check_open(file, "it").keys() - check_open(file, "it", PARTS).keys() == {"step/parameter_norms"}
    by_log = table_of_logs([run.open() for run in found])
    opened: list[str] = []
    monkeypatch.setattr(os, "open", lambda path, *args, _open=os.open: opened.append(str(path)) or _open(path, *args))
    assert run_table(found) == by_log
    assert sorted(opened) == sorted(f"{r.path}/{name}" for r in found for name in ("log.h5", "run.json", "status.json"))


@pytest.mark.parametrize("where, said", [("step/losses", "is a soft or external link"), ("samples", None)])
def test_what_a_table_reads_is_checked_before(tmp_path: Path, where: str, said: str | None) -> None:
    def change(file: h5py.File, away: Path) -> None:
        file.pop(where, None)
        file[where] = h5py.SoftLink("/step/gradient_norms")

    path = run(tmp_path / "run", 0.5, 0)
    in_log(change)(path, path)
    [row] = run_table(find_runs([path]))
    assert (row["status"], row["gradient_norm"]) == (("unreadable", None) if said else ("max_steps", 0.5**30))
    if said:
        with pytest.raises(BadLog, match=said):
            brief(path / "log.h5", 1.0)


def test_over_seeds_are_medians_with_the_least_and_the_largest(sweep: Path) -> None:
    rows = over_seeds(run_table(find_runs([sweep])))
    assert [(r["solver"], r["seeds"], r["score"], r["score_low"], r["score_high"]) for r in rows] == [
        ("cgd", 2, 51, 50, 52), ("simgd", 2, 61, 60, 62),
    ]  # fmt: skip
    assert "51 [50, 52]" in "\n".join(lines(rows, 200))
    broken = [{**row, "gradient_norm": None} if row["seed"] else row for row in run_table(find_runs([sweep]))]
    assert over_seeds(broken)[0]["gradient_norm"] is None  # the median of those that did not fail would be too good


def test_files_have_all_columns(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run_table(find_runs([sweep]))
    table = list(csv.DictReader(write(rows, tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [float(r["gradient_norm"]) for r in table] == [r["gradient_norm"] for r in rows]
    with pytest.raises(UsageError, match=r"end the name in \.csv or \.parquet"):
        write(rows, tmp_path / "a.xlsx")
    if find_spec("pyarrow") is not None:  # it is an extra
        own = [{name: row.get(name) for name in columns_of(rows)} for row in rows]
        parquet = importlib.import_module("pyarrow.parquet")
        assert parquet.read_table(write(rows, tmp_path / "a.parquet")).to_pylist() == own
        mixed: list[Any] = [{"lr": 0.1, "n": 1}, {"lr": "[1, 2]", "n": None}, {"lr": None, "n": 2.5}]
        assert parquet.read_table(write(mixed, tmp_path / "b.parquet")).to_pydict() == {
            "lr": ["0.1", "[1, 2]", None],
            "n": [1.0, None, 2.5],
        }
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'counterplay\[parquet\]'"):
        write(rows, tmp_path / "a.parquet")


def test_a_heat_map_has_the_medians(sweep: Path, tmp_path: Path) -> None:
    paths = [run(tmp_path / f"{s}{lr}{n}", lr, n, s, lr) for s in ("a", "b") for lr in (0.5, 0.7) for n in (0, 1)]
    drawn = plot("heatmap", paths, value="score")
    assert np.asarray(drawn.axes[0].collections[0].get_array()).ravel().tolist() == pytest.approx([50, 50, 70, 70])
    assert (drawn.axes[0].get_xlabel(), drawn.axes[0].get_ylabel()) == ("solver", "lr")
    with pytest.raises(UsageError, match="these runs differ in solver only"):
        plot("heatmap", sweep)
    with pytest.raises(UsageError, match="no rows for the figure 'heatmap', which shows a result over two settings"):
        plot("heatmap", paths[0])


def test_a_report_of_a_grid_has_its_heat_map_and_races_to_what_is_asked(tmp_path: Path, cli: Run) -> None:
    paths = [run(tmp_path / f"{s}{lr}", lr, 0, s, lr) for s in ("a", "b") for lr in (0.5, 0.7)]
    assert cli("report", *paths, "--below", "1e-30", "-o", tmp_path / "r.html")[0] == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "A result of each run, by two settings" in text
    assert "Fastest" not in text and '<p class="status"></p>' not in text, "nobody reached it"
    assert cli("report", *paths[:3], "-o", tmp_path / "r.html")[0] == 0
    assert "A result of each run, by two settings" not in (tmp_path / "r.html").read_text("utf-8")


def test_a_metric_may_be_named_as_in_conditions(sweep: Path, cli: Run) -> None:
    assert cli("summary", sweep, "--sort", "metric.score")[1] == cli("summary", sweep, "--sort", "score")[1]


def test_settings_of_a_game_made_in_python_leave_out_its_code() -> None:
    made = {"game.class": "m.G", "game.modules.g.0.class": "Linear", "game.draw.function": "f", "game.batch": "8"}
    assert _settings(made) == "batch=8"
    assert _settings({"game.draw": "3"}) == "draw=3", "an option of another game"


def test_a_race_is_a_table(tmp_path: Path, cli: Run) -> None:
    one, two = run(tmp_path / "one", 0.5, 0, "a", 0.5), run(tmp_path / "two", 0.7, 0, "a", 0.7)
    assert "step_to_0.1" not in cli("summary", one, two)[1]
    assert "step_to_0.1" in cli("summary", one, two, "--below", "0.1")[1]
    assert "No run came to a gradient norm below 1e-30." in cli("summary", one, two, "--below", "1e-30")[1]
    assert "No run came" not in cli("summary", one, two, "--table")[1], "nobody asked"


def test_commands_take_sweeps(sweep: Path, cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("summary", sweep, "--best", "gradient_norm", "--json")
    assert code == 0 and [row["run"] for row in json.loads(out)] == ["cgd, seed=0"]
    assert cli("plot", "losses", sweep, "--against", "products", "-o", "a.svg")[0] == 0
    empty = tmp_path / "empty"
    SweepDirectory(empty).plan(grid({"game": {"name": "quadratic"}, "solver": {"name": "cgd"}}, {"seed": [0]}))
    code, _, err = cli("summary", empty)
    assert code == 2 and "No cell of the sweep" in err
    shutil.rmtree(empty)


def test_a_report_of_a_sweep_is_in_it_and_names_its_cells(
    sweep: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("report", "report_comparison"):  # figures take seconds
        monkeypatch.setattr(f"counterplay.analysis.commands.{module}.FIGURES", {})
    code, out, _ = cli("report", sweep)
    text = (sweep / "report.html").read_text("utf-8")
    assert (code, out) == (0, f"Wrote {sweep / 'report.html'}\n") and "4 runs compared" in text
    assert "by products: cgd, seed=0 (60; 4 of 4 runs reached it)" in text
    half = 12.71 * 2**0.5 / 2**0.5  # Student's t of two seeds with the scores 50 and 52, and 60 and 62
    assert f"<td>51 ± {half:.2g}</td>" in text and f"<td>61 ± {half:.2g}</td>" in text


def test_tensorboard_is_asked_for_by_name(sweep: Path, cli: Run, tmp_path: Path) -> None:
    first = find_runs([sweep])[0].path
    code, _, err = cli("log", "export", first, "--to", "tensorboard", "-o", tmp_path / "tb")
    if find_spec("tensorboardX") is None:
        assert code == 2 and "pip install 'counterplay[tensorboard]'" in err
    else:
        assert code == 0 and list((tmp_path / "tb").glob("events*"))


def test_a_summary_of_a_sweep_says_what_has_not_ended(cli: Run) -> None:
    grid = ("sweep", "quadratic", "--solver", "simgd,cgd", "-s", "lr=0.01,0.02", "--steps", "3", "--out", "g")
    cli(*grid, "--limit", "1", "--workers", "1", "--quiet")
    assert cli("summary", "g")[1].splitlines()[-1] == "g: 1 of 4 cells ended, 3 waiting."
    cli(*grid, "--workers", "1", "--quiet")
    assert "ended" not in cli("summary", "g")[1]
