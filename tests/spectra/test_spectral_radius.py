"""The spectral radius of F' of networks: what Krylov spaces find, beside all eigenvalues and power iteration."""

from __future__ import annotations

import cmath
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.log.schema import SPECTRUM_STATUS
from counterplay.core.spectra import spectrum as spectra
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.spectra.point_spectra import ProbeFactory
from counterplay.core.spectra.spectrum import update_spectrum, update_spectrum_far_from_one
from counterplay.core.spectra.update_map import UpdateMap

MIXTURE = ("mixture", {"hidden": 5, "layers": 1, "latent": 2, "batch": 24, "std": 0.2})
DIGITS = ("digits", {"hidden": 3, "latent": 2, "batch": 12})
LARGER = ("digits", {"hidden": 12, "latent": 4, "batch": 16})  # thousands of numbers of state

SOLVERS: list[tuple[str, dict[str, Any]]] = [
    ("simgd", {}), ("altgd", {}), ("altgd", {"repeats": {"generator": 1, "discriminator": 2}}), ("extragradient", {}),
    ("ogda", {}), ("past-extragradient", {}), ("conopt", {"gamma": 0.5}), ("jare", {"gamma": 1.0}), ("sga", {}),
]  # fmt: skip
RULES = [("sgd", 0.05), ("momentum", 0.02), ("adam", 2e-3), ("rmsprop", 2e-3)]
OWN = [
    ("cgd", {"lr": 0.05}), ("acgd", {"lr": 1e-3}), ("lcgd", {"lr": 0.05}), ("lola", {"lr": 0.05}),
    ("lookahead-minmax", {"lr": 0.05, "k": 3}), ("implicit-euler", {"lr": 0.02}), ("unrolled", {"lr": 0.05, "k": 2}),
]  # fmt: skip
CASES = [(name, {**options, "rule": rule, "lr": lr}) for name, options in SOLVERS for rule, lr in RULES] + OWN
QUICK = [4 * 3 + 2, 4 * 0 + 3, len(CASES) - 6]  # extragradient with adam, simgd with rmsprop, acgd


def trained(n: int, arena: tuple[str, dict[str, Any]], solver: cp.Solver, steps: int) -> UpdateMap:
    """F where a run in either precision has come to."""
    game, dtype, seen = cp.make("game", arena[0], **arena[1]), (torch.float32, torch.float64)[n % 2], []
    result = cp.run(game, solver, steps=steps, seed=n, dtype=dtype, observers=[lambda s: seen.append(s.buffers)])
    assert result.status == "max_steps"
    return ProbeFactory(Evaluator(game, dtype=dtype), solver)(result.params, result.memory, seen[-1]).map(solver)


def bound(F: UpdateMap, monkeypatch: pytest.MonkeyPatch) -> float:
    """The largest modulus among what has converged, of either set; the first one is told to have."""
    with monkeypatch.context() as patch:
        patch.setattr(spectra, "DENSE", 0)
        near, far = update_spectrum(F), update_spectrum_far_from_one(F)
    assert far is not None
    sets = near, far
    sure = [SPECTRUM_STATUS.index(s) for s in ("converged", "not_differentiable")]
    known = [abs(z) for s in sets for z, k in zip(s.eigenvalues.tolist(), s.status.tolist(), strict=True) if k in sure]
    assert sets[0].status[0] in sure, "the leading one converges in the products there are"
    return max(known)


@pytest.mark.parametrize("n", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in range(len(CASES))])
def test_what_has_converged_bounds_the_radius_from_below_and_reaches_it(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, options = CASES[n]
    solver = cp.make("solver", name, **options)
    F = trained(n, MIXTURE if n % 3 or name in dict(OWN) else DIGITS, solver, 50 + (n * 37) % 250)
    with torch.no_grad():
        rho = float(dense_spectrum(F.derivative().dense()).eigenvalues.abs().max())
        found = bound(F, monkeypatch)
    assert found <= rho * (1 + 1e-8), "a bound on the wrong side"
    assert found == pytest.approx(rho, rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 14, 15, 18, 26])
def test_the_same_of_larger_states_beside_power_iteration(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last three of 1,500 iterates satisfy A^2 w = a A w + b w: of a conjugate pair their length has no limit."""
    name, options = CASES[n]
    solver = cp.make("solver", name, **options)
    F = trained(n, LARGER, solver, 300)
    assert F.size > spectra.DENSE
    with torch.no_grad():
        A, D = F.derivative(), F.scale()["state"]["state"]

        def product(w: torch.Tensor) -> torch.Tensor:
            return A.rmv({"state": {"state": w / D}})["state"]["state"] * D

        w = torch.ones_like(D)
        for _ in range(1500):
            w = product(w)
            w /= w.norm()
        one, two = product(w), product(product(w))
        rho = abs(float(w @ one))
        if (one - (w @ one) * w).norm() > 1e-3 * rho:  # no single one leads; else w and A w are too close for two
            a, b = torch.linalg.lstsq(torch.stack([one, w], 1), two.unsqueeze(1)).solution.squeeze(1).tolist()
            rho = max(abs((a + sign * cmath.sqrt(a * a + 4 * b)) / 2) for sign in (1, -1))
        assert bound(F, monkeypatch) == pytest.approx(rho, rel=1e-3)
