"""Whether a point is at rest, and where steps lead, of games in which both are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import counterplay as cp
from counterplay.analysis.measures.log_verdict import meaning
from counterplay.core.spectra.newton import newton_step
from counterplay.core.stability.step_sizes import step_size_policy
from counterplay.core.stability.verdict import point_verdict

Loss = Callable[[Tensor, Tensor], Tensor]


def game_of(x: Loss, y: Loss, at: tuple[float, float]) -> cp.Game:
    """Two players of one number each, who minimise."""

    def losses(p: cp.Params, batch: Any) -> dict[str, Tensor]:
        a, b = p["x"]["value"], p["y"]["value"]
        return {"x": x(a, b).sum(), "y": y(a, b).sum()}

    start = {i: {"value": torch.tensor([n], dtype=torch.float64)} for i, n in zip("xy", at, strict=True)}
    return cp.game_from_losses(losses, start)


def said(game: cp.Game, path: Path, solver: str = "simgd", steps: int = 0, **options: Any) -> dict[str, Any]:
    """The facts at the last point of a run."""
    made = cp.make("solver", solver, **{"lr": 1e-9, **options})
    cp.run(game, made, steps=steps, spectrum_every=max(steps, 1), out=path / "run")
    facts = meaning(cp.open_log(path / "run"))
    assert facts is not None
    return facts


CASES = {
    "near": (lambda x, y: x**2 / 2, lambda x, y: y**2 / 2, (1e-4, 1e-4), "yes"),
    "far along the slow one": (lambda x, y: 1e9 * x**2 / 2, lambda x, y: y**2 / 2, (0.0, 1.0), "no"),
    # J = [[1, 1e6], [0, 2]] takes a small v far
    "far from normal": (lambda x, y: x**2 / 2 + 1e6 * x * y, lambda x, y: y**2, (50.0 - 1e-4, -5e-5), "no"),
    "near though v is not small": (lambda x, y: x**2 / 2 + 1e6 * x * y, lambda x, y: y**2, (0.0, 1e-6), "yes"),
    "no place": (lambda x, y: x**3 / 3 + 1e-8 * x, lambda x, y: y**2 / 2, (1e-4, 0.0), "unknown"),
    "J is 0 there": (lambda x, y: x**4 / 4, lambda x, y: y**4 / 4, (1e-3, 1e-3), "unknown"),
    "a line of them": (lambda x, y: (x + y) ** 2, lambda x, y: (x + y) ** 2, (3.0, -3.0 + 1e-5), "yes"),
    "going on for ever": (lambda x, y: torch.exp(-x), lambda x, y: torch.exp(-y), (8.0, 8.0), "no"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_point_is_at_rest_where_v_is_0_nearby(name: str, tmp_path: Path) -> None:
    x, y, at, state = CASES[name]
    kind = said(game_of(x, y, at), tmp_path)["kind"]
    assert kind["at_rest"] == state, kind["words"]


def test_eigenvalues_of_a_run_in_single_precision_are_as_exact(tmp_path: Path) -> None:
    """Spectra are taken in double precision: 5e-4 beside 100 is not 0."""
    game = game_of(lambda x, y: 50 * x**2, lambda x, y: 2.5e-4 * y**2, (0.0, 50.0))
    cp.run(game, cp.make("solver", "simgd", lr=1e-3), steps=1, spectrum_every=1, dtype="float32", out=tmp_path / "r")
    facts = meaning(cp.open_log(tmp_path / "r"))
    assert facts is not None and facts["neutral"] == 0 and facts["kind"]["at_rest"] == "no"
    assert facts["conditioning"] == pytest.approx(2e5, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"schedule": {"name": "exponential", "decay": 0.9}}, {"rule": "adam"}, {"rule": "rmsprop"}],
    ids=["schedule", "adam", "rmsprop"],
)
def test_where_steps_that_change_lead_is_unknown(options: dict[str, Any], tmp_path: Path) -> None:
    """ρ(F') is right of this one step; steps that shrink may stop on the way, and those of Adam grow as v shrinks."""
    facts = said(game_of(CASES["near"][0], CASES["near"][1], (1.0, 1.0)), tmp_path, lr=0.1, steps=20, **options)
    assert facts["update_radius"] > 0 and np.isnan(facts["predicted_rate"]) and np.isnan(facts["steps_to_epsilon"])
    assert facts["kind"]["step"] == "none" and "this solver's step returns" not in facts["kind"]["words"]


@dataclass(frozen=True)
class Clipped(cp.Composed):
    """v / (1e-3 + |v|): a plugin's solver, whose steps are of one size until v is small."""

    step_size_policy = "adaptive"

    def direction(self, local: cp.LocalGame) -> cp.Params:
        v = local.gradient()
        return cp.tree.scale(v, 1 / (1e-3 + local.norm(v)))


def test_noise_of_one_player_does_not_keep_the_steps_of_another_up(tmp_path: Path) -> None:
    """x comes to rest, where its second moment vanishes and its steps grow, whatever is drawn for y."""

    def losses(p: cp.Params, batch: Any) -> dict[str, Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        return {"x": (x**2).sum() / 2, "y": (y**2).sum() / 2 + 1e-4 * (batch["e"] * y).sum()}

    start = {i: {"value": torch.tensor([0.5], dtype=torch.float64)} for i in "xy"}
    game = cp.game_from_losses(losses, start, lambda rng: {"e": torch.randn(1, generator=rng, dtype=torch.float64)})
    solver = cp.make("solver", "simgd", lr=1e-3, rule="rmsprop")
    cp.run(game, solver, steps=30, spectrum_every=30, out=tmp_path / "run")
    log = cp.open_log(tmp_path / "run")
    assert log["spectrum/player_noise"][-1, 0] == 0 < log["spectrum/player_noise"][-1, 1]
    for facts in (meaning(log), cp.spectrum(tmp_path / "run", game=game, solver=solver)["meaning"]):
        assert facts is not None and np.isnan(facts["predicted_rate"]) and facts["kind"]["step"] == "none"


@pytest.mark.parametrize("seed", range(3))
def test_the_newton_step_among_many_equilibria_is_the_shortest_each_time(seed: int) -> None:
    """Of a J with 24 neutral directions."""
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(8, 20, generator=g, dtype=torch.float64) / 4
    B = A.T @ torch.randn(8, 8, generator=g, dtype=torch.float64) @ A
    J = torch.cat([torch.cat([A.T @ A, B], 1), torch.cat([-B.T, A.T @ A], 1)])
    v = J @ torch.randn(40, generator=g, dtype=torch.float64)
    params = {i: {"value": torch.zeros(20, dtype=torch.float64)} for i in "xy"}
    expected = float((torch.linalg.pinv(J, rtol=1e-12) @ v).norm())
    for _ in range(30):
        found = newton_step(J, v[None], params, lambda p: (v + J @ cp.tree.ravel(p))[None], False)
        assert float(found.norm) == pytest.approx(expected, rel=1e-9) and float(found.remainder) < 1e-9
        _ = torch.randn(40, 40) @ torch.randn(40, 40)  # what is in freed memory must not matter


def test_a_solver_of_a_plugin_says_itself_that_its_steps_change(tmp_path: Path) -> None:
    game = game_of(CASES["near"][0], CASES["near"][1], (1.0, 1.0))
    solver = Clipped(lr=1e-4)
    cp.run(game, solver, steps=20, spectrum_every=20, out=tmp_path / "run")
    facts = meaning(cp.open_log(tmp_path / "run"))
    assert facts is not None and np.isnan(facts["predicted_rate"]) and facts["kind"]["step"] == "none"
    at_point = cp.spectrum(tmp_path / "run", game=game, solver=solver)["meaning"]
    assert np.isnan(at_point["predicted_rate"]) and at_point["kind"]["step"] == "none"


def test_what_sets_the_size_of_steps_is_recorded() -> None:
    cosine = {"name": "cosine", "steps": 10}
    for options, policy in (
        ({}, "fixed"),
        ({"schedule": "constant", "rule": "momentum"}, "fixed"),
        ({"rule": "adam"}, "adaptive"),
        ({"rule": "adam", "schedule": cosine}, "scheduled"),
    ):
        for made in (
            {"name": "simgd", **options},
            {"name": "lookahead-minmax", "solver": {"name": "altgd", **options}},
        ):
            assert cp.make("solver", made).step_size_policy == policy, made
    assert cp.make("solver", "acgd").step_size_policy == "adaptive"


@pytest.mark.parametrize(
    ("solver", "policy"),
    [
        ("simgd", "fixed"),
        ({"name": "acgd"}, "adaptive"),
        ({"name": "simgd", "rule": {"name": "rmsprop"}}, "adaptive"),
        ({"name": "simgd", "rule": "adam", "schedule": {"name": "linear"}}, "scheduled"),
        ({"name": "simgd", "rule": "momentum", "schedule": "constant"}, "fixed"),
        ({"name": "Acgd", "class": "mine.Acgd"}, "fixed"),
    ],
)
def test_of_a_run_that_did_not_record_it_names_say_what_sets_the_size(solver: Any, policy: str) -> None:
    assert step_size_policy({"experiment": {"solver": solver}}) == policy
    assert step_size_policy({"experiment": {"solver": solver}, "step_size_policy": "adaptive"}) == "adaptive"


def test_a_leader_whose_curvature_is_0_is_not_said_to_lead() -> None:
    J = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    facts = point_verdict(
        np.linalg.eigvals(J + 1e-3 * np.eye(2)), {"x": np.array([-1.0]), "y": np.array([1.0])}, None,
        gradient=0.0, parameters=0.0, noise=0.0, sizes={"x": 1, "y": 1}, leader_curvature=0.0,
    )  # fmt: skip
    assert facts["kind"]["equilibrium"] == "not_nash"


def test_ratios_of_a_real_part_within_its_error_are_unknown() -> None:
    """Re λ = 200 ± 3000 of |λ| = 3e6: on which side of 0 it is decides on ζ and on the largest step."""
    z = np.array([200 + 3e6j, 200 - 3e6j, 6e6 + 0j])
    facts = point_verdict({"eigenvalues": z, "errors": [5e-4, 5e-4, 1e-12]}, None, None, sizes={"x": 3})
    assert np.isnan(facts["phase"]) and np.isnan(facts["largest_step"])
    assert facts["conditioning"] == pytest.approx(2.0)


class Bounded(cp.Game):
    """x is held at its bound 1, beyond which it would go on; y follows."""

    players = ("x", "y")

    def init(self, rng: torch.Generator) -> cp.Params:
        return {i: {"value": torch.tensor([0.5], dtype=torch.float64)} for i in self.players}

    def losses(self, p: cp.Params, batch: Any) -> dict[str, Tensor]:
        x, y = p["x"]["value"], p["y"]["value"]
        return {"x": (-(x**2) / 2 + 0.1 * x * y).sum(), "y": ((y - 0.1 * x) ** 2 / 2).sum()}

    def project(self, p: cp.Params) -> cp.Params:
        return {i: {name: t.clamp(-1, 1) for name, t in tree.items()} for i, tree in p.items()}


def test_at_the_boundary_of_a_strategy_set_the_step_alone_says_something(tmp_path: Path) -> None:
    """v is not 0 there, and the flow along -v is stopped: neither says that the point is left."""
    facts = said(Bounded(), tmp_path, lr=0.1, steps=300)
    kind = facts["kind"]
    assert (kind["at_rest"], kind["flow"], kind["equilibrium"], kind["step"]) == ("unknown", "unknown", "unknown", "<1")
    assert "at the boundary of a strategy set" in kind["words"] and np.isnan(facts["largest_step"])
    assert facts["update_radius"] == pytest.approx(0.9)
    assert cp.open_log(tmp_path / "run")["spectrum/at_boundary"].tolist() == [0, 1]
    inside = said(Bounded(), tmp_path / "inside", lr=1e-9, steps=1)["kind"]
    assert inside["at_rest"] == "no" and "boundary" not in inside["words"]
