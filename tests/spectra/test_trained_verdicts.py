"""Verdicts on trained networks: what a part of their spectra says, beside the whole by LAPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel
from counterplay.core.spectra import point_spectra, spectrum
from counterplay.core.spectra.at_point import _facts
from counterplay.core.spectra.point_spectra import ProbeFactory, jacobian_spectra, update_spectra
from counterplay.core.stability.verdict import point_verdict

GAMES: dict[str, dict[str, Any]] = {
    "mixture": {"hidden": 6, "layers": 1, "latent": 3, "batch": 16, "std": 0.3},
    "digits": {"hidden": 3, "latent": 2, "batch": 16},
}
RULES = ("sgd", "momentum", "rmsprop", "adam")
RULED = ("simgd", "altgd", "extragradient", "past-extragradient", "ogda", "conopt", "jare", "sga")
OTHERS = ("cgd", "acgd", "lcgd", "la", "lola", "sos", "lookahead-minmax", "implicit-euler")
LR = {"sgd": 0.05, "momentum": 0.02, "rmsprop": 2e-3, "adam": 2e-3}
CASES = [("mixture", s, r) for s in RULED for r in RULES] + [("mixture", s, None) for s in OTHERS]
CASES += [("digits", s, r) for s in ("simgd", "extragradient", "conopt") for r in ("sgd", "adam")]
QUICK = {("mixture", "simgd", "sgd"), ("mixture", "extragradient", "adam"), ("mixture", "cgd", None)}


def trained(game: str, solver: str, rule: str | None) -> tuple[cp.Game, cp.Solver, Any]:
    made = cp.make("game", game, **GAMES[game])
    options = {"lr": 0.02} if rule is None else {"lr": LR[rule], "rule": rule}
    played = cp.make("solver", solver, **options)
    return made, played, cp.run(made, played, steps=40, seed=1, dtype="float64", trace=False, compile=False)


def measured(game: cp.Game, solver: cp.Solver, result: Any, k: int, products: int) -> dict[str, Any]:
    """What `counterplay spectrum` would say, ``k`` eigenvalues in so many products where the spectra are not whole."""
    table = Evaluator(game)
    probe = ProbeFactory(table, solver)(result.params, result.memory, {})
    J, noise = jacobian_spectra(probe.local(), k, products), probe.noise
    F = update_spectra(probe.map(solver), k, products)
    sizes = {i: ravel({i: result.params[i]}).numel() for i in game.players}

    def own(x: Any) -> Any:
        return x

    return point_verdict(
        _facts(J.jacobian, sum(sizes.values()), own),
        {i: _facts(s, sizes[i], own) for i, s in J.blocks.items()},
        _facts(F.leading, F.size, own),
        update_far=None if F.far is None else _facts(F.far, F.size, own),
        gradient=float(noise.gradient),
        noise=float(noise.deviation),
        mean_gradient=float(noise.mean),
        parameters=1.0,
        sizes=sizes,
        period=solver.period,
    )


@pytest.mark.parametrize(
    ("game", "solver", "rule"), [c if c in QUICK else pytest.param(*c, marks=pytest.mark.slow) for c in CASES]
)
def test_a_part_of_a_trained_network_s_spectra(
    game: str, solver: str, rule: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, played, result = trained(game, solver, rule)
    whole = measured(made, played, result, 20, 100)
    assert whole["complete"] is True and whole["kind"]["step"] != "none"
    for module in (spectrum, point_spectra):
        monkeypatch.setattr(module, "DENSE", 0)
    for k, products in ((20, 100), (6, 25)):
        part = measured(made, played, result, k, products)
        assert part["complete"] is False and part["kind"]["flow"] in ("<0", "unknown")
        for what in ("equilibrium", "step", "flow"):
            assert part["kind"][what] in (whole["kind"][what], "unknown"), (what, part["kind"], whole["kind"])
        for key, sign in part["bounds"].items():
            value, exact = part[key], whole[key]
            if np.isnan(exact):  # rounding may have moved a neutral eigenvalue of the whole, which says "unknown"
                if key == "steps_to_epsilon":
                    continue
                exact = whole["update_radius"] if key == "predicted_rate" else exact
            if isinstance(value, float) and not np.isnan(value):
                slack = 1e-6 * max(1.0, abs(exact)) if np.isfinite(exact) else 0.0
                assert (value - exact if sign == "≥" else exact - value) <= slack, (key, value, exact)
