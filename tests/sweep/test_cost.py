"""What a sweep would cost: each kind of cell is tried once, and metrics count where they are measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from counterplay.core.cli import play_cell
from counterplay.core.registry.experiment import Table
from counterplay.core.sweep.cell import Cell
from counterplay.core.sweep.cost import Cost, costs

from ..conftest import Run

TABLE: dict[str, Any] = {"game": "quadratic", "solver": "simgd", "steps": 100}


def test_metrics_count_at_the_start_and_where_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[tuple[float, int | None], tuple[float, float]] = {}
    for look in (0.0, 1000.0):
        monkeypatch.setattr(play_cell, "_seconds_of_metrics", lambda result, look=look: look)
        for every in (None, 5):
            cost = play_cell.try_steps(TABLE if every is None else TABLE | {"sample_every": every})
            assert not isinstance(cost, str), cost
            found[look, every] = cost
    assert all(min(cost) >= 0 and sum(cost) < 60 for (look, _), cost in found.items() if not look)
    (start, step), (start_of_5, step_of_5) = found[1000.0, None], found[1000.0, 5]
    assert 12e3 <= start < 12.1e3 and step < 60, "the real images, the start, and ten times"
    assert 2e3 <= start_of_5 < 2.1e3 and 200 <= step_of_5 < 260


def test_the_first_measurement_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network may be read or trained in it."""
    now = [0.0]

    class Point:
        @property
        def metrics(self) -> dict[str, Any]:
            now[0] += 100.0 if now[0] == 0 else 3.0
            return {}

    monkeypatch.setattr(play_cell, "Gallery", lambda game: SimpleNamespace(at=lambda *_: Point()))
    monkeypatch.setattr("counterplay.core.cli.play_cell.time.monotonic", lambda: now[0])
    result: Any = SimpleNamespace(played=(None, None), params={})
    assert play_cell._seconds_of_metrics(result) == 3.0


def test_one_cell_of_a_kind_is_tried() -> None:
    tried: list[Table] = []

    def try_steps(experiment: Table) -> Cost:
        tried.append(experiment)
        return 1.0, 0.5

    def cell(**given: Any) -> Cell:
        return Cell(TABLE | {"regularizers": [], "solver": {"name": "simgd", "lr": 0.1}} | given)

    cells = [cell(), cell(seed=1), cell(solver={"name": "simgd", "lr": 0.2}, steps=10), cell(sample_every=2)]
    assert [cost for _, cost in costs(cells, try_steps)] == [51.0, 51.0, 6.0, 51.0]
    assert len(tried) == 2


def test_a_dry_run_names_spectra(cli: Run) -> None:
    grid = ("sweep", "quadratic", "--solver", "simgd", "-s", "lr=0.01,0.02", "--steps", "20", "--dry-run")
    assert cli(*grid)[1].splitlines()[-1].startswith("2 cells: at most")
    assert cli(*grid, "--spectrum-every", "10")[1].splitlines()[-1].endswith("; spectra come on top")
