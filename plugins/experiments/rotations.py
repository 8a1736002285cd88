"""What other papers say of methods in games that rotate: momentum, lookahead, alignment, the ridge, the Dirac-GAN.

Everyone minimises, and h is the step size. On alpha xy, simultaneous descent multiplies by sqrt(1 + (h alpha)^2).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .update_radii import CONVERGES, DIVERGES, NEITHER, Case, CaseClaim, UpdateRadii, exact

BILINEAR = "bilinear"


# What each method multiplies by on alpha xy, with q = h alpha: its eigenvalues of F' are this and its conjugate.
_LOOKED: tuple[str, ...] = ("lcgd", "la", "extragradient")
_SQUARED: dict[str, dict[str, Any]] = {
    "sga": {"strength": 1.0}, "conopt": {"gamma": 1.0}, "jare": {"gamma": 1.0}, "lola": {"opponent_lr": 0.5},
    "adversarial-extrapolation": {"gamma": 2.0},
}  # fmt: skip


def _on_bilinear(alpha: float, h: float = 0.2) -> tuple[Case, ...]:
    """The radii of F' of 17 methods on alpha xy, each in closed form."""
    game, q = {"name": BILINEAR, "alpha": alpha}, h * alpha
    past = max(abs(complex(z)) for z in np.roots([1, -(1 - 2j * q), -1j * q]))
    half = max(abs(complex(z)) for z in np.roots([1, -(2 - q * q / h), 1 - q * q / h + q * q]))

    def of(methods: Mapping[str, Mapping[str, Any]], value: float, why: str) -> list[Case]:
        return [exact(m, game, {"name": m, "lr": h, **options}, value, why) for m, options in methods.items()]

    def plain(*methods: str) -> dict[str, dict[str, Any]]:
        return {m: {} for m in methods}

    one_side = {f"reg-{player}-only": {"gamma": 1.0} for player in ("generator", "discriminator")}
    return (
        *of(plain("simgd"), math.hypot(1, q), "|1 + iq|"), *of(plain("altgd"), 1.0, "F' has determinant 1"),
        *of(plain(*_LOOKED), abs(1 - q * q + 1j * q), "|1 - q² + iq|"),
        *of(_SQUARED, abs(1 - q * q / h + 1j * q), "|1 - q²/h + iq|"),
        *of(plain("hamiltonian"), abs(1 - q * q / h), "|1 - q²/h|"),
        *of(plain("ogda", "past-extragradient"), past, "μ² - (1 - 2iq) μ - iq = 0"),
        *of(plain("cgd", "implicit-euler"), 1 / math.hypot(1, q), "1/|1 + iq|"),
        *of(one_side, half, "μ² - (2 - s) μ + 1 - s + q² = 0 with s = q²/h"),
    )  # fmt: skip


@dataclass(frozen=True)
class BilinearMethods(UpdateRadii):
    """Seventeen methods on alpha xy, with step size .2."""

    notes: ClassVar[str] = (
        "gamma and lambda are 1, for extrapolation 2; lola expects steps of .5, at which it is conopt."
    )
    said = tuple(
        CaseClaim(f"alpha-{a:g}", f"With alpha {a:g} the radius of F' is that of the closed form for each method.",
             "derived", _on_bilinear(a)) for a in (1.0, 3.0)
    )  # fmt: skip


def _momentum(solver: str, beta: float, lr: float = 0.5) -> dict[str, Any]:
    return {"name": solver, "lr": lr, "rule": {"name": "momentum", "beta": beta}}


@dataclass(frozen=True)
class NegativeMomentum(UpdateRadii):
    """Momentum of either sign on xy, simultaneous and alternating."""

    notes: ClassVar[str] = (
        "The paper's theorems are for matrices; on xy the largest and the smallest singular value are 1. The step size "
        "is .5."
    )
    said = (
        CaseClaim("simultaneous", "With simultaneous play no momentum makes descent converge.",
             "Gidel et al. 2019, Thm. 5",
             tuple(Case(f"beta {b:g}", BILINEAR, _momentum("simgd", b), DIVERGES, f"β {b:g} diverges")
                   for b in (-0.5, -0.1, 0.0, 0.5))),
        CaseClaim("alternating", "With alternating play a negative momentum converges, none stays at a distance, and a "
             "positive one diverges.", "Gidel et al. 2019, Thm. 6, Fig. 1",
             (Case("beta -0.5", BILINEAR, _momentum("altgd", -0.5), (0.0, max(0.5, 1 - 0.25 / 16) ** 0.5),
                   "β -0.5 converges, ρ² ≤ 1 - h²/16", "Thm. 6 with sigma 1"),
              Case("beta 0", BILINEAR, _momentum("altgd", 0.0), NEITHER, "β 0 stays", "F' has determinant 1"),
              Case("beta 0.5", BILINEAR, _momentum("altgd", 0.5), DIVERGES, "β 0.5 diverges"))),
    )  # fmt: skip


def _lookahead(k: int, lr: float = 0.3) -> Case:
    mu = abs(0.5 + 0.5 * (1 + 1j * lr) ** k) ** (1 / k)
    solver = {"name": "lookahead-minmax", "lr": lr, "k": k, "alpha": 0.5}
    return exact(f"k = {k}", BILINEAR, solver, mu, "|1 - a + a (1 + ih)^k|^(1/k) with a = 1/2")


@dataclass(frozen=True)
class LookaheadMinmax(UpdateRadii):
    """Slow weights around simultaneous and alternating descent on xy."""

    notes: ClassVar[str] = "The paper's game has 100 dimensions and is drawn; of xy the rates are closed forms."
    said = (
        CaseClaim("tamed", "Going back half of the way after k steps makes descent converge where it diverges alone.",
             "Chavdarova et al. 2021, Fig. 1",
             (Case("descent alone", BILINEAR, {"name": "simgd", "lr": 0.3}, DIVERGES, "diverges"),
              *(Case(f"k = {k}", BILINEAR, {"name": "lookahead-minmax", "lr": 0.3, "k": k}, CONVERGES, "converges")
                for k in (3, 5, 6)))),
        CaseClaim("rates", "The map of a period is that of the closed form.",
             "derived", tuple(map(_lookahead, (1, 3, 5)))),
        CaseClaim("alternating", "The same around alternating descent, which alone stays at a distance.",
             "Chavdarova et al. 2021, Fig. 1",
             (Case("alone", BILINEAR, {"name": "altgd", "lr": 0.3}, NEITHER, "stays"),
              Case("k = 5", BILINEAR, {"name": "lookahead-minmax", "k": 5, "solver": {"name": "altgd", "lr": 0.3}},
                   CONVERGES, "converges"))),
    )  # fmt: skip


def _attracted(name: str, lr: float, **options: Any) -> dict[str, Any]:
    return {"name": name, "lr": lr, **options}


@dataclass(frozen=True)
class WeakAttractor(UpdateRadii):
    """x^2/2 + 10 xy against y^2/2 - 10 xy, where J has the eigenvalues 1 +- 10i."""

    notes: ClassVar[str] = (
        "Symplectic adjustment is taken with lambda 1, aligned, as it is printed: its matrix is 101 I, so that its "
        "largest step is 2/101, the same as that of simultaneous descent. The authors' code differs in how lambda is "
        "normalised, and their figure may be of another lambda; we claim nothing of it at larger steps."
    )
    said = (
        CaseClaim("descent", "Simultaneous descent converges slowly with step size .01, and diverges slowly with .032 "
             "and rapidly with .1.", "Balduzzi et al. 2018; Letcher et al. 2019 (1905.04926)",
             (exact("h .01", "weak-attractor", _attracted("simgd", 0.01), abs(0.99 - 0.1j), "|1 - h(1 + 10i)|"),
              Case("h .032", "weak-attractor", _attracted("simgd", 0.032), (1 + 1e-9, 1.05), "diverges slowly",
                   "a factor of at most 1.05 counts as slow"),
              Case("h .1", "weak-attractor", _attracted("simgd", 0.1), (1.2, math.inf), "diverges rapidly",
                   "a factor of at least 1.2 counts as rapid"))),
        CaseClaim("adjusted", "With step size .01 symplectic gradient adjustment converges far faster.",
             "Balduzzi et al. 2018",
             (Case("sga, h .01", "weak-attractor", _attracted("sga", 0.01), (0.0, 0.5), "converges fast",
                   "half of the distance goes in a step"),)),
        CaseClaim("largest-step", "Its largest step is that of simultaneous descent, 2/101.", "derived",
             tuple(Case(f"{m}, {s:g} of it", "weak-attractor", _attracted(m, s * 2 / 101), r, f"{m} {w}")
                   for m in ("simgd", "sga") for s, r, w in ((0.99, CONVERGES, "converges below"),
                                                             (1.01, DIVERGES, "diverges above")))),
    )  # fmt: skip


def _plane(a: float, c: float) -> dict[str, Any]:
    return {"name": "quadratic", "a": a, "b": 4.0, "c": c}


def _ridge(method: str, game: dict[str, Any], range: tuple[float, float], **options: Any) -> Case:
    fate = "converges" if range == CONVERGES else "diverges"
    where = "first" if game is FIRST else "second"
    return Case(f"{method}, {where} game", game, {"name": method, "lr": 0.05, **options}, range, f"{method} {fate}")


FIRST, SECOND = _plane(-3.0, -1.0), _plane(3.0, 1.0)


@dataclass(frozen=True)
class FollowTheRidge(UpdateRadii):
    """-3x^2 + 4xy - y^2, whose only minimax point is 0, and 3x^2 + 4xy + y^2, where 0 is none."""

    notes: ClassVar[str] = "The paper draws paths; the step size is .05 here, and gamma of conopt .1."
    said = (
        CaseClaim("minimax", "Follow-the-ridge converges to the minimax point 0 of the first game, which gradient "
             "descent does not find.", "Wang et al. 2020, section 5, first game",
             (_ridge("follow-the-ridge", FIRST, CONVERGES), _ridge("simgd", FIRST, DIVERGES))),
        CaseClaim("no-minimax", "In the second game 0 is no minimax point: descent converges to it, follow-the-ridge "
             "does not.", "Wang et al. 2020, section 5, second game",
             (_ridge("follow-the-ridge", SECOND, DIVERGES), _ridge("simgd", SECOND, CONVERGES))),
        CaseClaim("others", "Extragradient and ogda are as descent is; conopt converges to 0 in both.", "derived",
             (*(_ridge(m, FIRST, DIVERGES) for m in ("extragradient", "ogda")),
              *(_ridge(m, SECOND, CONVERGES) for m in ("extragradient", "ogda")),
              *(_ridge("conopt", g, CONVERGES, gamma=0.1) for g in (FIRST, SECOND)))),
    )  # fmt: skip


def _dirac(loss: str) -> dict[str, Any]:
    return {"name": "dirac-gan", "loss": loss}


def _penalised(gamma: float, h: float = 0.2) -> Case:
    root = cmath.sqrt(gamma**2 / 4 - 0.25)
    rho = max(abs(1 - h * (gamma / 2 + s * root)) for s in (1, -1))
    why = "eigenvalues γ/2 ± sqrt(γ²/4 - 1/4); a double one moves by the root of rounding"
    r1 = {"name": "r1", "gamma": gamma}
    return Case(f"gamma {gamma:g}", _dirac("saturating"), {"name": "simgd", "lr": h}, (rho - 1e-7, rho + 1e-7),
                f"γ {gamma:g}: {rho:.4f}", why, (r1,))  # fmt: skip


@dataclass(frozen=True)
class DiracGanPanels(UpdateRadii):
    """Which losses and penalties make the Dirac-GAN converge at its equilibrium."""

    notes: ClassVar[str] = (
        "The penalty is γ/2 times the squared gradient at the data point. The paper's panels with WGAN-GP and instance "
        "noise are not here: the first is not differentiable at 0, and noise is drawn, so that no map is fixed."
    )
    said = (
        CaseClaim("unregularised", "Without a penalty descent diverges from the equilibrium, whatever the loss.",
             "Mescheder et al. 2018, Lemma 2.3, Fig. 3 a to c",
             (*(exact(f"{name}", _dirac(name), {"name": "simgd", "lr": 0.2}, math.hypot(1, 0.1), "|1 ± ih/2|")
                for name in ("saturating", "non-saturating")),
              exact("wgan", _dirac("wgan"), {"name": "simgd", "lr": 0.2}, math.hypot(1, 0.2), "|1 ± ih|"))),
        CaseClaim("alternating", "With alternating steps it stays at a distance.", "Mescheder et al. 2018, Lemma 2.4",
             tuple(Case(name, _dirac(name), {"name": "altgd", "lr": 0.2}, NEITHER, f"{name}: 1")
                   for name in ("saturating", "non-saturating", "wgan"))),
        CaseClaim("penalised", "With a gradient penalty it converges, without turning from gamma 1 on.",
             "Mescheder et al. 2018, Lemma 4.1 and Fig. 3 g, h", tuple(map(_penalised, (0.3, 1.0, 2.0)))),
        CaseClaim("consensus", "Consensus optimization makes it converge, too.", "Mescheder et al. 2018, Fig. 3 e",
             (Case("conopt", _dirac("saturating"), {"name": "conopt", "lr": 0.2, "gamma": 1.0}, CONVERGES,
                   "converges"),)),
    )  # fmt: skip
