"""Solvers played by several processes with a share of the batch each equal themselves in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterplay.core.conformance.check import check
from counterplay.core.conformance.over_processes import ARENAS, TOLERANCE, Answer, differences
from counterplay.core.parallel.spawned import on_processes
from counterplay.core.registry import registry
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


@pytest.mark.slow
def test_a_solver_that_differs_between_processes_fails_the_check(tmp_path: Path) -> None:
    (file := tmp_path / "pid.py").write_text(PID)
    registry.load_file(str(file))
    *sound, (label, holds, wrong) = check("solver", "by-pid", ranks=2, plugins=[str(file)])
    assert all(ok for _, ok, _ in sound) and label.startswith("2 processes") and not holds and "differ by" in wrong


PID = """
from __future__ import annotations

import os
from dataclasses import dataclass

import counterplay as cp


@dataclass(frozen=True)
class ByPid(cp.Composed):
    "A direction whose length is another in every process."

    def direction(self, local: cp.LocalGame) -> cp.Params:
        return cp.tree.scale(local.gradient(), 1.0 + os.getpid() % 97)


@cp.hookimpl
def register_solvers() -> list[cp.Entry]:
    return [cp.Entry("by-pid", ByPid, "scaled by the process", "nobody (2026)")]
"""
