"""What is made by name: from which tables, with which settings, and what a wrong name is told."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import counterplay as cp
from counterplay.core.coerce import describe
from counterplay.core.errors import UsageError, did_you_mean
from counterplay.core.options import MISSING, options_of
from counterplay.core.registry import registry
from counterplay.core.registry.kinds import KINDS
from counterplay.core.registry.registry import Registry
from counterplay.core.typed_values import value


def test_a_path_in_the_place_of_a_data_set_is_explained(tmp_path):
    (tmp_path / "x.npy").touch()
    for name, how in ((tmp_path, f"data=folder data.root={tmp_path}"), (tmp_path / "x.npy", "data=arrays data.file=")):
        with pytest.raises(cp.UsageError, match=f"unknown dataset .*, which is a path; of one's own: {how}"):
            cp.make("dataset", str(name))


def test_entries_have_names_of_their_own(fresh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")
    for kind in KINDS:
        entries = registry.entries(kind)
        names = [e.name for e in entries]
        assert names and len(names) == len(set(names))
        for entry in entries:
            assert "\n" not in entry.summary
            assert all(describe(o.annotation) for o in options_of(entry.factory)), entry.name
    assert registry.problems() == []


def test_make_by_name_table_or_object(fresh: Registry) -> None:
    solver = cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    assert solver.lr == {"x": 0.09, "y": 0.01}
    assert cp.make("solver", {"name": "simgd", "lr": {"x": 0.09, "y": 0.01}}) == solver
    assert cp.make("solvers", solver) is solver
    with pytest.raises(UsageError, match="made already"):
        cp.make("solver", solver, lr=1.0)
    with pytest.raises(UsageError, match=r"by name or as a solver object, got Quadratic"):
        cp.make("solver", cp.make("game", "quadratic"))
    with pytest.raises(UsageError, match="without a name"):
        cp.make("solver", {"lr": 1.0})


FILES = {"root": "here", "file": "here"}  # options that name the user's files
EVERY = [(kind, name) for kind in KINDS for name in Registry().built_in(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind}-{name}" for kind, name in EVERY])
def test_settings_make_the_same_again(fresh: Registry, kind: str, name: str) -> None:
    options = options_of(registry.find(kind, name).factory)
    given: dict[str, Any] = {o.name: FILES[o.name] for o in options if o.default is MISSING}
    if kind == "game" and name in ("mnist", "cifar10", "celeba"):
        given = {"data": {"root": "here"}}
    made = cp.make(kind, name, **given)
    table = registry.settings(made)
    assert table["name"] == name
    assert cp.make(kind, {k: v for k, v in table.items() if v is not None}) == made


def test_wrong_names_say_the_right_ones(fresh: Registry) -> None:
    with pytest.raises(UsageError, match="unknown solver 'conpt'; did you mean 'conopt'"):
        cp.make("solver", "conpt")
    with pytest.raises(UsageError, match=r"simgd has no option 'lrr'; did you mean 'lr'\? Its options are lr, rule"):
        cp.make("solver", "simgd", lrr=1)
    with pytest.raises(UsageError, match="unknown kind 'sovler'; did you mean 'solver'"):
        cp.make("sovler", "simgd")
    with pytest.raises(UsageError, match="option 'gamma' of solver conopt: expected a number, a list of numbers"):
        cp.make("solver", "conopt", gamma="abc")
    with pytest.raises(UsageError, match=r"The games are .*quadratic"):
        cp.make("game", "zzz")


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("kid", ["kid"]),
        ("[kid]", ["kid"]),
        ("fid,kid", ["fid", "kid"]),
        ("[fid, inception-score]", ["fid", "inception-score"]),
    ],
)
def test_things_in_a_list_need_no_quotes(fresh: Registry, typed: str, names: list[str]) -> None:
    """A shell takes the quotes out of ["fid", "kid"]."""
    made = cp.make("game", "images", metrics=value(typed))
    assert [registry.settings(metric)["name"] for metric in made.metrics_] == names


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("[fid,fidd]", "unknown metric 'fidd'; did you mean 'fid'"),
        ("[fid,kid", "expected a list of metrics, got .* are in quotes, which a shell leaves within others"),
        ("[{name=fid}]", "expected a list of metrics, got .* are in quotes"),
        ("", "expected a list of metrics, got ''"),
        ("3", "expected a list of metrics, got 3"),
        ("[3]", "expected a list of metrics, got .3"),
        ("[fid,fid]", "two of the metrics give fid"),
    ],
)
def test_wrong_things_in_a_list(fresh: Registry, typed: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cp.make("game", "images", metrics=value(typed))


@pytest.mark.parametrize("word", ["SimGD", "simgd_", "sim-gd"])
def test_did_you_mean_forgives_case_and_hyphens(word: str) -> None:
    assert did_you_mean(word, ["adam", "simgd"]) == "; did you mean 'simgd'?"
    assert did_you_mean("qqqq", ["simgd"]) == "."


NEW_KIND = """
import sys
from dataclasses import dataclass
from types import ModuleType

from counterplay.core.registry import kinds

class Metric:
    "what all metrics are"

at = sys.modules["counterplay.core.metric"] = sys.modules["counterplay.plugins.metrics"] = ModuleType("metrics")
at.Metric = Metric
kinds.KINDS["metric"] = kinds.Kind("metric", "metrics", "core.metric:Metric", "plugins.metrics")

import counterplay as cp
from counterplay.core.cli.main import main
from counterplay.core.provenance.remaking import registered_in

@dataclass(frozen=True)
class Mean(Metric):
    of: int = cp.option(1, "how many")

@dataclass(frozen=True)
class Measured(cp.Composed):
    metric: Metric = cp.option(Mean(), "what is measured")

at.register_metrics = cp.hookimpl(lambda: [cp.Entry("mean", Mean, "the mean", "nobody")])
plugin = sys.modules["plugin"] = ModuleType("plugin")
plugin.register_metrics = cp.hookimpl(lambda: [cp.Entry("other", Mean, "another", "nobody")])

from counterplay.core.registry import registry, third_party

registry.REGISTRY.add(third_party.Plugin(plugin, "plugin 1", None))
assert [e.name for e in registry.entries("metrics")] == ["mean", "other"] and registry.problems() == []
assert registry.REGISTRY._nested(Metric, {"name": "mean", "of": 3}) == cp.make("metric", "mean", of=3) == Mean(3)
assert list(registered_in(Measured())) == [("metric", "mean")]
main(["describe", "metrics", "mean"])
"""


def test_a_kind_is_one_row() -> None:
    """The hook, the entries, options that name one and the record of what was used come from the row."""
    done = subprocess.run([sys.executable, "-c", NEW_KIND], capture_output=True, text=True)
    assert done.returncode == 0 and "metric mean: the mean" in done.stdout, done.stderr
