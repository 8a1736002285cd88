"""Everything registered passes the checks of its kind; and every check catches something broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import counterplay as cp
from counterplay.core.conformance.check import cases, check
from counterplay.core.registry.kinds import KINDS
from counterplay.core.registry.registry import REGISTRY, Registered, entries

from ..support import data_files
from ..support.broken_datasets import BROKEN_DATASETS, SoundData
from ..support.broken_experiments import BROKEN_EXPERIMENTS, SoundExperiment
from ..support.broken_games import BROKEN_GAMES, Sound
from ..support.broken_losses import BROKEN_LOSSES, BROKEN_REGULARIZERS, SoundLoss, SoundRegularizer
from ..support.broken_metrics import BROKEN_METRICS, SoundMetric
from ..support.broken_networks import BROKEN_NETWORKS, SoundNetwork
from ..support.broken_solvers import BROKEN_SOLVERS, SoundSolver

TABLES: dict[str, Sequence[tuple[Callable[..., Any], str]]] = {
    "game": BROKEN_GAMES,
    "solver": BROKEN_SOLVERS,
    "loss": BROKEN_LOSSES,
    "regularizer": BROKEN_REGULARIZERS,
    "network": BROKEN_NETWORKS,
    "dataset": BROKEN_DATASETS,
    "metric": BROKEN_METRICS,
    "experiment": BROKEN_EXPERIMENTS,
}
BROKEN = [(kind, factory, label) for kind, table in TABLES.items() for factory, label in table]
SOUND = {
    "game": Sound, "solver": SoundSolver, "loss": SoundLoss, "regularizer": SoundRegularizer, "network": SoundNetwork,
    "dataset": SoundData, "metric": SoundMetric, "experiment": SoundExperiment,
}  # fmt: skip
EVERY = [
    (f"{kind}-{e.name}: {label}", run)
    for kind in KINDS
    if kind != "dataset"
    for e in entries(kind)
    for label, run in cases(kind, e.name)
]


@pytest.mark.parametrize("run", [run for _, run in EVERY], ids=[name for name, _ in EVERY])
def test_registered(run: Callable[[], None]) -> None:
    run()


@pytest.mark.parametrize("name", [e.name for e in entries("dataset")])
def test_registered_data_sets(name: str, tmp_path: Path) -> None:
    """On small files of their formats."""
    results = check("dataset", name, data_files.small(name, tmp_path))
    assert len(results) == 5 and all(ok for _, ok, _ in results), results


def test_a_data_set_without_its_files_is_not_judged(cli, tmp_path):
    code, _, err = cli("check", "dataset", "mnist")
    assert code == 2 and "needs the option 'root'" in err and "-o KEY=VALUE" in err
    data_files.mnist(tmp_path)
    code, out, _ = cli("check", "dataset", "mnist", "-o", f"root={tmp_path}")
    assert code == 0 and "dataset mnist passes 5 checks." in out
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    code, _, err = cli("check", "dataset", "mnist", "-o", f"root={tmp_path}")
    assert code == 65 and "train-labels-idx1-ubyte.gz is cut short" in err


@pytest.fixture
def registered(monkeypatch):
    def register(kind, factory, summary="something", reference="Somebody 2024"):
        entry = cp.Entry("under-test", factory, summary, reference)
        monkeypatch.setitem(REGISTRY.built_in(kind), "under-test", Registered(entry, "a test"))

    return register


def failed(kind):
    return {label: what for label, holds, what in check(kind, "under-test") if not holds}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sound_passes(kind, registered):
    registered(kind, SOUND[kind])
    assert failed(kind) == {}


@pytest.mark.parametrize(("kind", "factory", "label"), BROKEN, ids=[f"{f.__name__}: {label}" for _, f, label in BROKEN])
def test_each_check_catches_what_it_is_for(kind, factory, label, registered):
    registered(kind, factory)
    found = failed(kind)
    assert label in found and len(found[label]) > 10, found


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_been_seen_to_fail(kind):
    """A new check needs something broken here."""
    caught = {label for _, label in TABLES[kind]} | {"summary and reference", "options documented"}
    name = entries(kind)[0].name
    of_games = {label for label, _ in cases("game", "quadratic")} if kind == "regularizer" else set()
    assert {label for label, _ in cases(kind, name)} - of_games <= caught


def test_words_about_it_are_asked_for(registered):
    for summary, reference in (("", "Somebody 2024"), ("something", " ")):
        registered("game", Sound, summary, reference)
        assert set(failed("game")) == {"summary and reference"}


def test_an_error_is_shown_with_its_line(registered):
    registered("solver", Forgets)
    line = Forgets.directed.__code__.co_firstlineno + 1
    assert failed("solver")["step is pure"] == f"KeyError: 'last' (test_check.py, line {line})"


class Forgets(SoundSolver):
    def directed(self, local, memory):
        return memory["last"], memory


def test_options_want_a_line_of_help(registered):
    @dataclass(frozen=True)
    class Silent(Sound):
        silent: int = 1

    registered("game", Silent)
    assert failed("game") == {"options documented": "options without a line of help: silent"}


def test_objects_are_frozen(registered):
    @dataclass
    class Thawed(cp.Loss):
        """Least squares."""

        def f_fake(self, d):
            return d**2

        g_real = g_fake = f_fake

    registered("loss", Thawed)
    assert "not frozen" in failed("loss")["options documented"]
