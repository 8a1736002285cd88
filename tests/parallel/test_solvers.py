"""Solvers played by several processes with a share of the batch each equal themselves in one process."""

from __future__ import annotations

import pytest

from counterplay.core.conformance.over_processes import ARENAS, TOLERANCE, Answer, differences
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.registry.registry import REGISTRY

SOLVERS = sorted(REGISTRY.all("solver"))


def _require_equal(found: list[dict[str, Answer]], name: str, least: int) -> None:
    for answers in found:
        played = {arena: x for arena, x in answers[name].items() if not isinstance(x, str)}
        assert {arena: x for arena, x in played.items() if not x <= TOLERANCE} == {}
        assert len(played) >= least


@pytest.fixture(scope="module")
def whole_table() -> list[dict[str, Answer]]:
    return on_processes(2, differences, SOLVERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_two_processes_equal_one_for_every_solver(whole_table: list[dict[str, Answer]], name: str) -> None:
    _require_equal(whole_table, name, 2 if name == "best-response" else len(ARENAS))


@pytest.mark.slow
def test_four_processes_equal_one() -> None:
    found = on_processes(4, differences, ["simgd", "cgd"])
    for name in ("simgd", "cgd"):
        _require_equal(found, name, len(ARENAS))
