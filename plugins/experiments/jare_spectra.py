"""The spectrum of the affine Gaussian GAN at its equilibrium under five methods, and what decides its convergence.

The two coordinates do not mix. With P = -1/2, and Q = s/2 across and (s + mu^2)/2 along the mean, where s is the
variance, J = [[0, P], [-P, Q]] in each. The phase factor zeta is the largest |Im / Re|, the conditioning factor tau the
largest |lambda| over the smallest. The paper has zeta across and tau along the mean.
Nie and Patel (2020, arXiv 1806.09235), Theorems 1 to 3, Corollaries 1 to 3, eq. 13 and 14; everyone minimises here, so
eigenvalues have the opposite sign.
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ...core.experiments.claim import Claim, Measured, above, below, exactly, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.panel import Panel, curve
from ...core.registry.registry import make
from .at_point import Matrix, direction, field, radius

MU, VARIANCE = 4.0, 0.04
SETTINGS = ((MU, VARIANCE), (1.0, 0.5), (2.0, 1.5))
GAMMAS = (0.1, 0.3, 1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 1000.0)
METHODS = ("reg-generator-only", "conopt", "reg-discriminator-only", "jare")
ROUNDING = "closed form, up to rounding"


@dataclass(frozen=True)
class JareSpectra(Experiment):
    """Theorems and corollaries on the affine Gaussian GAN, in exact expectation."""

    notes: ClassVar[str] = (
        "The text on eq. 13 and 14 says that the extrapolation is jare with weight gamma. As these equations hold the "
        "prediction fixed while its gradient is taken, they give gamma / 2. The paper did not run them."
    )

    def claims(self) -> Sequence[Claim]:
        """Theorems 1 to 3, Corollaries 1 to 3, and the limit of adversarial extrapolation."""
        return (
            Claim("theorem-1", "The eigenvalues of simultaneous descent are those of the theorem.", "JARE Thm. 1",
                  (below("theorem_1", 1e-9, "equal", ROUNDING),)),
            Claim("corollary-1", "The phase factor bounds the step by 4 / sqrt(1 + zeta^2), and the best rate of any "
                  "step is (1 + 1 / zeta^2)^(-1/2).", "JARE Cor. 1",
                  (near("corollary_1_step", 1.0, 1e-3, "ratio; steps .1 % below and above it are tried", "1"),
                   near("corollary_1_rate", 1.0, 1e-6, "ratio; the best of 2,000 steps", "1"))),
            Claim("corollary-2", "The conditioning factor bounds it by 4 / sqrt(tau), where the slowest rate is "
                  "1 - 2 / tau.", "JARE Cor. 2",
                  (near("corollary_2_step", 1.0, 1e-3, "ratio; steps .1 % below and above it are tried", "1"),
                   near("corollary_2_rate", 0.0, 1e-9, ROUNDING, "equal"))),
            Claim("theorem-2", "No weight of conopt, or of one half of jare, improves both factors.", "JARE Thm. 2",
                  (above("theorem_2", 1.0, "one stays as bad", "the smallest over methods and weights of the worse of "
                         "zeta / zeta_simgd and tau / tau_simgd"),)),
            Claim("theorem-3", "The eigenvalues of jare are those of the theorem.", "JARE Thm. 3",
                  (below("theorem_3", 1e-9, "equal", ROUNDING),)),
            Claim("corollary-3", "Under jare zeta falls with gamma, tau falls from gamma 2 on; they tend to 0 and 1.",
                  "JARE Cor. 3",
                  (below("zeta_rise", 1e-12, "falls", "the largest rise"), below("tau_rise", 1e-12, "falls", "the "
                   "largest rise from gamma 2 on"), below("zeta_limit", 1e-6, "→ 0", "at gamma 1e6"),
                   near("tau_limit", 1.0, 0.02, "at gamma 1e6", "→ 1"))),
            Claim("factors", "With mu 4 and variance .04, jare with gamma 10 mends what simultaneous descent has.",
                  "derived from JARE Thm. 1 and 3",
                  (near("zeta_simgd", 49.99, 5e-3, "its digits"), near("tau_simgd", 255.3, 0.05, "its digits"),
                   near("zeta_jare", 0.178, 5e-4, "its digits"), near("tau_jare", 24.04, 5e-3, "its digits"))),
            Claim("extrapolation", "Adversarial extrapolation is jare with the same weight, to first order.",
                  "JARE eq. 13, 14 and the text after them",
                  (near("extrapolation", 1.0, 0.02, "second order in gamma", "weight γ"),)),
            Claim("extrapolation-derived", "It is jare with half of the weight, up to the square of it.",
                  "derived from JARE eq. 13, 14",
                  (near("extrapolation", 0.5, 0.01, "second order in gamma", "weight γ/2"),
                   near("order", 2.0, 0.1, "from two weights", "error of order 2"))),
        )  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        table = {m: [_factors(_field(MU, VARIANCE, m, gamma)) for gamma in GAMMAS] for m in METHODS}
        simgd, far = _factors(_field(MU, VARIANCE)), _factors(_field(MU, VARIANCE, "jare", 1e6))
        return {
            "theorem_1": max(_off(mu, s, 0.0, "simgd") for mu, s in SETTINGS),
            "theorem_3": max(_off(mu, s, gamma, "jare") for mu, s in SETTINGS for gamma in (1.0, 10.0, 100.0)),
            **_corollaries(_field(MU, VARIANCE)), "simgd": simgd, "far": far, "table": table, **_extrapolation(),
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        (zeta, tau), far, table = computed["simgd"], computed["far"], computed["table"]
        jare = np.array(table["jare"])  # (gammas, 2)
        others = [max(z / zeta, t / tau) for m in METHODS if m != "jare" for z, t in table[m]]
        from_two = np.array(GAMMAS) >= 2
        found = {
            "theorem_2": min(others), "zeta_rise": np.diff(jare[:, 0]).max(),
            "tau_rise": np.diff(jare[from_two, 1]).max(), "zeta_limit": far[0], "tau_limit": far[1],
            "zeta_simgd": zeta, "tau_simgd": tau, "zeta_jare": jare[GAMMAS.index(10.0), 0],
            "tau_jare": jare[GAMMAS.index(10.0), 1],
        }  # fmt: skip
        names = ("theorem_1", "theorem_3", "extrapolation", "order", *(f"corollary_{n}_{x}" for n in (1, 2)
                 for x in ("step", "rate")))  # fmt: skip
        return {name: exactly(x) for name, x in found.items()} | {name: exactly(computed[name]) for name in names}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        def factor(title: str, label: str, n: int) -> Panel:
            series = [curve(m, GAMMAS, np.array(computed["table"][m])[:, n] + (n == 0) * 1e-6) for m in METHODS]
            return Panel(title, "gamma", label, tuple(series), "xy", {"simgd": computed["simgd"][n]})

        return [factor("phase factor across the mean", "zeta", 0), factor("conditioning along it", "tau", 1)]


def _field(mu: float, variance: float, method: str = "simgd", gamma: float | None = None) -> Matrix:
    """The Jacobian of a method's direction at the equilibrium, in coordinates generator, discriminator."""
    game = {"name": "affine-gaussian", "exact": True, "mean": mu, "variance": variance, "nodes": 8}
    target = torch.tensor([0.0, mu], dtype=torch.float64)
    point = {"generator": {"value": target}, "discriminator": {"value": torch.zeros_like(target)}}
    return field(game, {"name": method, **({} if gamma is None else {"gamma": gamma})}, point)


def _blocks(M: Matrix) -> tuple[Matrix, Matrix]:
    """The parts across and along the mean."""
    return M[np.ix_([0, 2], [0, 2])], M[np.ix_([1, 3], [1, 3])]


def _factors(M: Matrix) -> list[float]:
    """Zeta across the mean and tau along it."""
    across, along = (np.linalg.eigvals(block) for block in _blocks(M))
    return [float(np.abs(across.imag / across.real).max()), float(np.abs(along).max() / np.abs(along).min())]


def _off(mu: float, variance: float, gamma: float, method: str) -> float:
    """How far eigenvalues are from the theorem's, in the project's sign."""
    M, worst = _field(mu, variance, method, gamma or None), 0.0
    for block, b in zip(_blocks(M), (variance, variance + mu**2), strict=True):
        root = cmath.sqrt((b + gamma) ** 2 - (gamma**2 + 4))
        expected = sorted(((b + gamma - root) / 4, (b + gamma + root) / 4), key=lambda z: (z.real, z.imag))
        found = sorted((complex(z) for z in np.linalg.eigvals(block)), key=lambda z: (round(z.real, 9), z.imag))
        worst = max(worst, *(abs(z - w) for z, w in zip(found, expected, strict=True)))
    return worst


def _corollaries(M: Matrix) -> dict[str, float]:
    """The largest step that contracts, and the best rate, of each block, over what the corollaries say."""
    across, along = _blocks(M)
    (zeta, tau), eye = _factors(M), np.eye(2)
    bounds = (4 / np.sqrt(1 + zeta**2), 4 / np.sqrt(tau))
    found = {}
    for n, (block, bound) in enumerate(zip((across, along), bounds, strict=True), 1):
        steps = bound * np.linspace(0.99, 1.01, 201)
        contracting = [h for h in steps if radius(eye - h * block) < 1]
        found[f"corollary_{n}_step"] = float(max(contracting, default=0.0) / bound)
    best = min(radius(eye - h * across) for h in bounds[0] * np.linspace(0.0005, 0.9995, 2000))
    slow = np.abs(1 - bounds[1] * np.linalg.eigvals(along)).min()
    return found | {
        "corollary_1_rate": float(best * np.sqrt(1 + 1 / zeta**2)),
        "corollary_2_rate": float(slow - (1 - 2 / tau)),
    }


def _extrapolation() -> dict[str, float]:
    """The weight at which jare is nearest to adversarial extrapolation, over its own, and the order of what is left."""
    game = make("game", {"name": "affine-gaussian", "exact": True, "nodes": 8})
    rng = torch.Generator().manual_seed(0)
    point = {i: {"value": torch.randn(2, generator=rng, dtype=torch.float64)} for i in game.players}
    batch = game.sample(rng, game.buffers(rng))
    v = direction(game, "simgd", point, batch)
    regularizing = direction(game, {"name": "jare", "gamma": 1.0}, point, batch) - v  # jare is linear in its weight

    def extrapolated(gamma: float) -> Any:
        return direction(game, {"name": "adversarial-extrapolation", "gamma": gamma}, point, batch) - v

    first, second = (np.linalg.norm(extrapolated(g) - g / 2 * regularizing) for g in (0.01, 0.005))
    weight = extrapolated(0.005) @ regularizing / (regularizing @ regularizing) / 0.005
    return {"extrapolation": float(weight), "order": float(np.log2(first / second))}
