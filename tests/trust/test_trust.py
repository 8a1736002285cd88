"""Random small games against plain autograd: nothing is wrong without a word, and nothing common is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from . import games, layers, losses
from .built import Built
from .grammar import Case, age_alone, case, layer_alone, twist_alone
from .judge import FAILURES, Verdict, judge

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's about what users do

GROUP = 10


def failures(cases: Iterable[Case], thorough: bool) -> list[str]:
    """What fails of ``cases``, in lines: ``python -m tests.trust NUMBER --shrink`` takes one apart."""
    judged = [(c, judge(c, thorough)) for c in cases]
    return [f"{c.number} {v.kind} at {v.where}: {v.detail} {dict(c.features)}" for c, v in judged if v.kind in FAILURES]


@pytest.mark.parametrize("first", range(0, 100, GROUP))
def test_nothing_is_wrong_without_a_word(first: int) -> None:
    assert failures((case(n, light=True) for n in range(first, first + GROUP)), thorough=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, GROUP))
def test_nothing_is_wrong_in_many_games(first: int) -> None:
    assert failures((case(n) for n in range(first, first + GROUP)), thorough=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["modules", "losses"])
@pytest.mark.parametrize("name", layers.LAYERS)
def test_each_layer_alone(name: str, form: str) -> None:
    """Right where it is common and pure, and never wrong: by a solver that needs J, and as an ensemble."""
    if form == "losses" and name in games.LISTED:
        return  # a user's functional_call does not reach those
    assert failures(layer_alone(name, form), thorough=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("twist", [*losses.MUST, *losses.MAY, *losses.RANDOM])
def test_each_twist_alone(twist: str) -> None:
    assert failures(twist_alone(twist), thorough=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("data", [*losses.DATA_MUST, *losses.DATA_MAY, *losses.DATA_RANDOM])
def test_each_way_of_drawing_alone(data: str) -> None:
    assert failures(twist_alone("none", data), thorough=True) == []


@pytest.mark.slow
@pytest.mark.parametrize("age", games.AGES)
def test_each_state_of_a_game_alone(age: str) -> None:
    assert failures(age_alone(age), thorough=True) == []


def test_common_things_are_played() -> None:
    """Of the light cases that hold nothing odd, every one is right: a refusal is no way out."""
    common = [c for c in (case(n, light=True) for n in range(100)) if c.must]
    assert len(common) > 40
    kinds = Counter(kind for c in common for kind, _ in c.features)
    assert {"layer", "twist", "freeze", "members", "regularizer", "trace", "resume"} <= set(kinds)


@pytest.mark.parametrize("share", [1 + 1e-6, 1 - 1e-3])
def test_a_loss_that_is_a_little_off_is_found(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    of = games.game

    def bent(built: Built) -> object:
        game = of(built)
        inner = type(game).losses
        bad = lambda self, p, b: {i: share * x for i, x in inner(self, p, b).items()}  # noqa: E731
        monkeypatch.setattr(type(game), "losses", bad)
        return game

    monkeypatch.setattr(games, "game", bent)
    verdict = judge(Case(5, form="game", options=(("lr", 0.1),)), thorough=False)
    assert verdict == Verdict("wrong", "v and losses", verdict.detail)
