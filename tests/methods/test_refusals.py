"""Options of solvers and step rules that no method takes: refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

import counterplay as cp
from counterplay.core.options import options_of
from counterplay.core.registry.registry import entries
from counterplay.core.solver.step_rules import Rule

from ..conftest import Run
from ..support.arenas import arena

WRONG_RULES = [
    ("momentum", "beta=[0.1,0.2]", "beta must be a number, more than -1, less than 1; got [0.1, 0.2]"),
    ("momentum", "beta=1", "less than 1"),
    ("momentum", "beta=-1.0", "more than -1"),
    ("momentum", "beta=nan", "beta must be a number"),
    ("momentum", "nesterov=1", "nesterov must be true or false; got 1"),
    ("momentum", "nesterov=[true,false]", "true or false"),
    ("rmsprop", "eps=[1,2,3]", "eps must be a number, 0 or more; got [1, 2, 3]"),
    ("rmsprop", "eps=-1e-8", "0 or more"),
    ("rmsprop", "alpha=1.0", "less than 1"),
    ("rmsprop", "alpha=true", "alpha must be a number"),
    ("adam", "betas=1.0", "a list of 2 numbers, 0 or more, less than 1"),
    ("adam", "betas=[0.9,1.0]", "less than 1; got [0.9, 1.0]"),
    ("adam", "betas=[0.9]", "2 numbers"),
    ("adam", "betas=[0.9,[0.99]]", "2 numbers"),
    ("adamw", "weight_decay=[0.1]", "weight_decay must be a number"),
    ("adamw", "weight_decay.x=0.1", "weight_decay must be a number"),
    ("momentum", "name=[1,2]", "unknown step rule [1, 2]"),
]


@pytest.mark.parametrize(("rule", "setting", "words"), WRONG_RULES)
def test_a_wrong_setting_of_a_rule_is_a_sentence(cli: Run, rule: str, setting: str, words: str) -> None:
    name = [] if setting.startswith("name") else ["-s", f"rule={rule}"]
    code, _, said = cli("run", "quadratic", "--solver", "simgd", *name, "-s", f"rule.{setting}", "--steps", "1")
    assert code == 2 and words in said and said.count("\n") == 1, said


def test_the_settings_at_the_edge_are_taken() -> None:
    for table in (
        {"name": "momentum", "beta": -0.999, "nesterov": True},
        {"name": "momentum", "beta": 0},
        {"name": "rmsprop", "alpha": 0.0, "eps": 0},
        {"name": "adam", "betas": (0, 0.0)},
        {"name": "adamw", "weight_decay": 0},
    ):
        made = cp.make("solver", "simgd", rule=table).rule
        assert made == Rule.parse(made) and all(getattr(made, k) == v for k, v in table.items())


STEP_SIZES = [
    (e.name, o.name) for e in entries("solver") for o in options_of(e.factory) if o.name in ("lr", "opponent_lr")
]


@pytest.mark.parametrize(("solver", "option"), STEP_SIZES)
def test_a_step_size_is_not_negative(solver: str, option: str) -> None:
    """Every player descends: torch.optim refuses the same. 0 is a player who stands still."""
    for value in (-0.1, [0.1, -0.1], {"x": 0.1, "y": -0.1}, {"x": 0.1, "y": [0.1, -1e-9]}):
        with pytest.raises(cp.UsageError, match=rf"option '{option}' of .*: expected a number of 0 or more"):
            cp.make("solver", solver, **{option: value})
    for value in (0, 0.1, [0.0, 0.1], {"x": 0.0, "y": [0.1, 0.0]}):
        assert getattr(cp.make("solver", solver, **{option: value}), option) == value


def test_every_solver_has_one_to_be_refused() -> None:
    assert len({solver for solver, option in STEP_SIZES if option == "lr"}) == 25


@pytest.mark.parametrize("given", ["lr=-0.1", "lr.x=-0.1", "lr=[0.1,-0.1]", "lr=-inf"])
def test_a_negative_step_size_on_the_command_line(cli: Run, given: str) -> None:
    code, _, said = cli("run", "quadratic", "--solver", "acgd", "-s", given, "--members", "2", "--steps", "1")
    assert code == 2 and "a number of 0 or more" in said and said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("solver", "option", "wrong", "right", "words"),
    [
        ("sos", "a", [-1, 0, 1, 3], [1e-3, 0.5, 0.999], "more than 0, less than 1"),
        ("sos", "b", [-1, 0, 1, 3], [1e-3, 0.1, 0.999], "more than 0, less than 1"),
        ("lookahead-minmax", "alpha", [-0.1, 1.1, 3], [0, 0.5, 1], "0 or more, 1 or less"),
    ],
)
def test_shares_are_in_the_ranges_of_their_papers(
    solver: str, option: str, wrong: list[float], right: list[float], words: str
) -> None:
    """Letcher et al. 2019, Alg. 1: a, b in (0, 1). Chavdarova et al. 2021: alpha in [0, 1]."""
    for value in wrong:
        with pytest.raises(cp.UsageError, match=f"expected a number, {words}, got"):
            cp.make("solver", solver, **{option: value})
    for value in right:
        assert getattr(cp.make("solver", solver, **{option: value}), option) == value


def play(game: Any, solver: str, **options: Any) -> cp.Result:
    return cp.run(game, cp.make("solver", solver, **options), steps=2)


@pytest.mark.parametrize("solver", ["stackelberg", "follow-the-ridge"])
def test_conjugate_gradient_is_for_a_single_follower(solver: str) -> None:
    """J_FF is a Hessian only where one player follows; of several it is not symmetric."""
    four, two = cp.make("game", "four-player", epsilon=1.0), cp.make("game", "bilinear", dimension=2)
    for leader in ("w", "y"):
        with pytest.raises(cp.UsageError, match=r"symmetric J_FF.*several followers \((w|x), .*use gmres"):
            play(four, solver, method="cg", leader=leader)
        play(four, solver, method="gmres", leader=leader)
    play(two, solver, method="cg", damping=1.0)


@pytest.mark.parametrize("solver", ["cgd", "acgd"])
def test_who_is_solved_for_is_a_choice_of_two(solver: str) -> None:
    """Of n players, or where J_ij is not -J_ji^T, the system is everyone's."""
    four = cp.make("game", "four-player")
    with pytest.raises(cp.UsageError, match="zero-sum game; the players are w, x, y, z: leave it out"):
        play(four, solver, solve_for="w")
    with pytest.raises(cp.UsageError, match="solve_for is 'v'; the players are w, x, y, z"):
        play(four, solver, solve_for="v")
    general = cp.make("game", "dirac-gan", loss="non-saturating")
    with pytest.raises(cp.UsageError, match="zero-sum game; this one is not known to be one"):
        play(general, solver, solve_for="generator")
    zero_sum = cp.make("game", "bilinear")
    for method in ("dense", "gmres"):
        with pytest.raises(cp.UsageError, match=f"method {method} solves for both"):
            play(zero_sum, solver, solve_for="x", method=method)
    for method in ("auto", "cg"):
        play(zero_sum, solver, solve_for="x", method=method)


def step(name, a, **options):
    solver = cp.make("solver", name, **options)
    return solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})


@pytest.mark.parametrize("name", ["stackelberg", "follow-the-ridge"])
def test_a_leader_must_play_and_have_followers(name):
    with pytest.raises(cp.UsageError, match=r"'p7'.*p0, p1"):
        step(name, arena((2, 2), 31), leader="p7")
    with pytest.raises(cp.UsageError, match="at least two players"):
        step(name, arena((2,), 31))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lookahead-minmax", {"k": 0}, "1 or more"),
        ("unrolled", {"k": -1}, "k must be at least 0"),
        ("best-response", {"points": 200}, "odd"),
        ("best-response", {"points": 1}, "odd"),
        ("best-response", {"radius": 0.0}, "more than 0"),
        ("best-response", {"information": "some"}, "full"),
        ("implicit-euler", {"method": "cg"}, "gmres"),
    ],
)
def test_options_out_of_range_are_refused_when_made(name, options, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.make("solver", name, **options)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("adversarial-extrapolation", "gamma"),
        ("reg-generator-only", "gamma"),
        ("sga", "strength"),
        ("la", "opponent_lr"),
        ("lola", "opponent_lr"),
        ("sos", "opponent_lr"),
        ("unrolled", "opponent_lr"),
        ("implicit-euler", "lr"),
        ("ogda", "lr"),
        ("past-extragradient", "lr"),
        ("stackelberg", "lr"),
        ("follow-the-ridge", "lr"),
        ("hamiltonian", "lr"),
        ("lookahead-minmax", "lr"),
    ],
)
def test_an_option_for_someone_who_does_not_play_is_refused(name, option):
    a = arena((2, 2), 31, curvature=3.0)
    with pytest.raises(cp.UsageError, match=r"one for q, who does not play.*p0, p1"):
        step(name, a, **{option: {"p0": 0.1, "p1": 0.1, "q": 0.1}})
    with pytest.raises(cp.UsageError, match="none for p1"):
        step(name, a, **{option: {"p0": 0.1}})
