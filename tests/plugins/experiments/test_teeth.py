"""Verdicts have teeth: with a sign or a constant of a method changed, the verdict on what is said of it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import counterplay as cp
from counterplay.core.registry.registry import REGISTRY, Registered, find, make
from counterplay.core.run.engine import run

from .test_verdicts import OTHERS


def directed(change: Callable[[Any, Any, Any], Any]) -> Callable[[Any], type]:
    """A solver with another direction: ``change(tree, v, d)`` of v and the right direction d."""

    def broken(right: Any) -> type:
        def direction(self: Any, local: Any) -> Any:
            return change(cp.tree, local.gradient(), right.direction(self, local))

        return type(right.__name__, (right,), {"direction": direction})

    return broken


def stepped(**options: Any) -> Callable[[Any], type]:
    """A solver that takes its steps with options that are ``options(its own)``."""

    def broken(right: Any) -> type:
        def step(self: Any, *given: Any) -> Any:
            changed = replace(self, **{name: f(getattr(self, name)) for name, f in options.items()})
            object.__setattr__(changed, "__class__", right)
            return right.step(changed, *given)

        return type(right.__name__, (right,), {"step": step})

    return broken


def penalised(factor: float) -> Callable[[Any], type]:
    """A regularizer whose gamma is ``factor`` times what was asked for."""

    def broken(right: Any) -> type:
        def __init__(self: Any, **options: Any) -> None:
            right.__init__(self, **options)
            object.__setattr__(self, "gamma", factor * self.gamma)

        return type(right.__name__, (right,), {"__init__": __init__})

    return broken


OPPOSITE = directed(lambda tree, v, d: tree.sub(tree.scale(v, 2.0), d))  # the other sign of all but v
HALF = directed(lambda tree, v, d: tree.scale(tree.add(v, d), 0.5))  # half of all but v
TWICE = directed(lambda tree, v, d: tree.scale(d, 2.0))
AWAY = directed(lambda tree, v, d: tree.scale(d, -1.0))  # ascent
BROKEN = [
    ("num-lemmas", "lemma-9-derived", "solver", "conopt", OPPOSITE),
    ("jare-spectra", "theorem-1", "solver", "simgd", TWICE),
    ("jare-spectra", "theorem-3", "solver", "jare", HALF),
    ("jare-spectra", "extrapolation", "solver", "adversarial-extrapolation", stepped(gamma=lambda g: 2 * g)),
    ("sga-weak-attractor", "adjusted", "solver", "sga", OPPOSITE),
    ("cgd-bilinear", "radii", "solver", "cgd", stepped(lr=lambda h: 2 * h)),
    ("lookahead-bilinear", "rates", "solver", "lookahead-minmax", stepped(alpha=lambda a: a / 2)),
    ("icr-finite-data", "finite", "solver", "simgd", AWAY),
    ("dirac-gan-penalties", "penalised", "regularizer", "r1", penalised(2.0)),
]


def verdicts(name: str, logs: Any = None) -> dict[str, str]:
    experiment = make("experiment", name)
    found = experiment.measure({} if logs is None else logs(experiment), experiment.compute("quick"))
    return {claim.name: claim.verdict(found) for claim in experiment.claims()}


@pytest.mark.parametrize(
    ("experiment", "claim", "kind", "name", "broken"), BROKEN, ids=[f"{e}-{c}-{n}" for e, c, _, n, _ in BROKEN]
)
def test_a_broken_method_changes_the_verdict(experiment, claim, kind, name, broken, monkeypatch):
    right = find(kind, name)
    before = OTHERS.get(experiment, {}).get(claim, "agrees")
    monkeypatch.setitem(
        REGISTRY.built_in(kind), name, Registered(replace(right, factory=broken(right.factory)), "a test")
    )
    assert verdicts(experiment)[claim] != before


def test_a_broken_method_changes_the_verdict_on_runs(monkeypatch):
    """Players that are not aware of each other do not stay."""

    def played(experiment):
        tables = experiment.runs("quick")
        return {
            n: run(make("game", t["game"]), make("solver", t["solver"]), steps=20, history=True).history
            for n, t in tables.items()
        }

    assert set(verdicts("icr-best-response", played).values()) == {"agrees"}
    right = find("solver", "best-response")
    broken = stepped(information=lambda known: "local" if known == "aware" else known)(right.factory)
    changed = Registered(replace(right, factory=broken), "a test")
    monkeypatch.setitem(REGISTRY.built_in("solver"), "best-response", changed)
    found = verdicts("icr-best-response", played)
    assert found == {"full": "agrees", "local": "agrees", "aware": "disagrees"}
