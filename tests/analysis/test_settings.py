"""In which settings runs differ."""

from __future__ import annotations

from typing import Any

from counterplay.analysis.settings import differing


def run(lr: Any, solver: str = "simgd", **options: Any) -> dict[str, Any]:
    return {"game": {"name": "quadratic"}, "solver": {"name": solver, "lr": lr, **options}, "steps": 5}


def test_one_number_beside_a_number_for_each_player():
    assert differing([run(0.1), run({"x": 0.1, "y": 0.2})]) == [{"lr": "0.1"}, {"lr": '{"x": 0.1, "y": 0.2}'}]
    assert differing([run({"x": 0.1, "y": 1}), run({"x": 0.1, "y": 2})]) == [{"lr.y": "1"}, {"lr.y": "2"}]


def test_a_setting_that_a_run_lacks_differs_from_those_of_its_own_solver():
    assert differing([run(1), run(1, clip_norm=2)]) == [{}, {"clip_norm": "2"}]
    assert differing([run(1), run(1, "cgd", tol=2)]) == [{}, {}]
    assert differing([run(1) | {"patience": 3}, run(1)]) == [{"patience": "3"}, {}]
