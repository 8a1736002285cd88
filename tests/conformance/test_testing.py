"""``counterplay.testing``: the checks as objects and as tests of pytest."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import counterplay as cp
import counterplay.testing
from counterplay.core.conformance.check import cases
from counterplay.core.registry import registry
from counterplay.core.registry.registry import Registry
from counterplay.testing import Broken, Check, checks, parametrize_with_checks

from ..support.broken_solvers import NeverRests, SoundSolver


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPLAY_NO_PLUGINS", "1")
    monkeypatch.setattr(registry, "REGISTRY", Registry())


def plugin(*entries: cp.Entry) -> ModuleType:
    module = ModuleType("their_plugin")

    @cp.hookimpl
    def register_solvers() -> list[cp.Entry]:
        return list(entries)

    module.register_solvers = register_solvers  # type: ignore[attr-defined]
    return module


SOUND = cp.Entry("theirs", SoundSolver, "a summary", "a reference")
BROKEN = cp.Entry("restless", NeverRests, "a summary", "a reference")


def test_the_checks_are_those_of_the_command():
    found = checks(("loss", "hinge"))
    assert [c.name for c in found] == [label for label, _ in cases("loss", "hinge")]
    assert str(found[-1]) == "loss-hinge: a game with it passes the checks of games"
    assert {(c.kind, c.of) for c in found} == {("loss", "hinge")}
    found[-1]()


def test_of_a_module_all_that_it_registers_is_checked():
    found = checks(plugin(SOUND, BROKEN))
    assert {c.of for c in found} == {"theirs", "restless"} and len(found) == 26
    wrong = {}
    for check in found:
        try:
            check.run()
        except Broken as error:
            wrong[str(check)] = str(error)
    assert list(wrong) == [
        "solver-restless: an equilibrium is a fixed point",
        "solver-restless: steps are in proportion to v, or adaptive",
        "solver-restless: strategy sets are kept or refused",
    ]
    assert "it leaves the equilibrium of quadratic" in wrong["solver-restless: an equilibrium is a fixed point"]
    assert isinstance(Broken(""), AssertionError)


def test_options_are_those_that_it_is_made_with(tmp_path):
    (first, *_) = [c for c in checks(("dataset", "mnist", {"root": str(tmp_path)})) if c.name.startswith("images")]
    with pytest.raises(Exception, match=str(tmp_path)):
        first.run()


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (("solver", "simdg"), "unknown solver 'simdg'; did you mean 'simgd'"),
        ("simgd", "checks are of a module, a \\(kind, name\\)"),
        (sys, "module sys cannot be checked: .*hookimpl"),
        (plugin(cp.Entry("simgd", SoundSolver, "a", "b")), "their_plugin cannot be checked: .*'simgd' is taken"),
    ],
)
def test_what_cannot_be_checked_is_said(thing, words):
    with pytest.raises(cp.UsageError, match=words):
        checks(thing)


@parametrize_with_checks([("loss", "wgan")])
def test_the_decorator_makes_a_test_of_each(check: Check) -> None:
    check()


def test_each_test_has_a_readable_name(request):
    names = [item.name for item in request.session.items if "test_the_decorator_makes" in item.name]
    assert names == [] or "test_the_decorator_makes_a_test_of_each[loss-wgan: zero_sum holds]" in names


def test_it_is_found_where_it_is_named():
    assert counterplay.testing.Check is Check and counterplay.testing.checks is checks
