"""The lemmas of The numerics of GANs as numeric claims, over random matrices of three players with a number each.

Everyone minimises here: J is minus the paper's Jacobian. With h the step size,

    Lemma 4    I - hJ is in the unit ball if and only if h < 2 Re / |lambda|^2 for all lambda of J
    Lemma 9    J + gamma J^T J has max |Im / Re| <= 1 / (c + 2 rho^2 gamma), rho and c from J
    Lemma 11   momentum: each lambda of J makes two of F', the roots of mu^2 - (1 + beta - h lambda) mu + beta
    Prop. 13   rescaling by a second moment is a change of step size: at v = 0, F' is I - h/eps J beside alpha I

Derived from the paper's (32), Lemma 9 lacks ||J - J^T||: 1 / (c + 2 rho^2 gamma / ||J - J^T||) is what holds, and the
printed bound fails where this norm is above 1. Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core.experiments.claim import Claim, Measured, above, below, exactly, near
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.panel import Panel, points, spectrum
from .at_point import Matrix, as_complex, as_pairs, matrix_game, radius, update_map

ROUNDING = "holds for every matrix up to rounding"
PROJECTED = (0.05, 0.2, 0.4)  # step sizes of Fig. 1


@dataclass(frozen=True)
class NumLemmas(Experiment):
    """Random matrices with a positive definite symmetric part, each played by the solver that the lemma is about."""

    gives_up: ClassVar[str] = "8 random matrices for each lemma instead of 100"
    notes: ClassVar[str] = "Fig. 1 of the paper is a drawing; ours is of a matrix with eigenvalues .1 +- 4i and .5."

    def claims(self) -> Sequence[Claim]:
        """Fig. 1, Lemmas 4, 9 and 11, and Prop. 13."""
        return (
            Claim("fig-1", "A step projects the eigenvalues along rays towards the unit circle, and into it only if it "
                  "is small enough; consensus optimization makes the step that converges longer.", "NUM Fig. 1, eq. 10",
                  (near("fig_1", 0.0, 1e-9, ROUNDING, "1 - h lambda"),
                   above("gain", 1 + 1e-6, "longer steps converge", "ratio of the largest steps, conopt over simgd"))),
            Claim("lemma-4", "Simultaneous descent contracts if and only if h is below the bound (10).", "NUM Lemma 4",
                  (below("lemma_4_inside", 1 - 1e-9, "< 1 at .98 of it", "the largest radius at .98 of the bound"),
                   above("lemma_4_outside", 1 + 1e-9, "> 1 at 1.02 of it", "the smallest radius at 1.02 of it"))),
            Claim("lemma-9", "Of J + gamma J^T J, |Im / Re| is at most the bound (18), as printed.", "NUM Lemma 9",
                  (below("lemma_9_printed", 1 + 1e-6, "ratio ≤ 1", "largest |Im / Re| over the bound: 5x turning, "
                         "x/10 attracting, gamma 1 is the counter-example"),)),
            Claim("lemma-9-derived", "The same with gamma / ||J - J^T|| in place of gamma, as (32) gives it.",
                  "derived from NUM (32)", (below("lemma_9_derived", 1 + 1e-6, "ratio ≤ 1", ROUNDING),)),
            Claim("lemma-9-limit", "|Im / Re| can be made as small as one likes by a large gamma.", "NUM Lemma 9",
                  (below("lemma_9_limit", 0.01, "→ 0", "largest |Im / Re| with gamma 1,000"),)),
            Claim("lemma-11", "With momentum, each eigenvalue of J makes two of F'.", "NUM Lemma 11",
                  (near("lemma_11", 0.0, 1e-5, "distance of the two spectra; random matrices may be nearly defective",
                        "equal"),)),
            Claim("prop-13", "RMSProp near its fixed point is a change of step size.", "NUM Prop. 13",
                  (near("prop_13", 0.0, 1e-10, ROUNDING, "equal"),)),
        )  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        rng = np.random.default_rng(0)
        many = [_random(rng) for _ in range(8 if scale == "quick" else 100)]
        inside, outside = zip(*(_around_the_bound(J) for J in many), strict=True)
        rotation = np.array([[0.1, 5.0], [-5.0, 0.1]])
        ratios = [_lemma_9(J, gamma) for J in many for gamma in (0.1, 1.0, 10.0)]
        J = np.array([[0.1, 4.0, 0.0], [-4.0, 0.1, 0.0], [0.0, 0.0, 0.5]])
        moved = {f"{h:g}": as_pairs(np.linalg.eigvals(_moved(J, "simgd", lr=h))) for h in PROJECTED}
        consensus = _consensus(J, 0.1)
        return {
            "inside": max(inside), "outside": min(outside),
            "printed": max(_lemma_9(rotation, 1.0)[0], *(r[0] for r in ratios)), "derived": max(r[1] for r in ratios),
            "limit": max(_quotient(_consensus(J, 1000.0)) for J in many),
            "momentum": max(_lemma_11(J, beta, 0.1) for J in many for beta in (-0.5, 0.9)),
            "rescaling": max(_proposition_13(J, rng) for J in many),
            "J": as_pairs(np.linalg.eigvals(J)), "moved": moved, "gain": _bound(consensus) / _bound(J),
            "consensus": as_pairs(np.linalg.eigvals(np.eye(3) - PROJECTED[-1] * consensus)),
        }  # fmt: skip

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        J = as_complex(computed["J"])
        off = [_apart(as_complex(z), 1 - float(h) * J) for h, z in computed["moved"].items()]
        names = {"lemma_4_inside": "inside", "lemma_4_outside": "outside", "lemma_9_printed": "printed",
                 "lemma_9_derived": "derived", "lemma_9_limit": "limit", "lemma_11": "momentum",
                 "prop_13": "rescaling", "gain": "gain"}  # fmt: skip
        return {name: exactly(computed[key]) for name, key in names.items()} | {"fig_1": exactly(max(off))}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        t = np.linspace(0, 2 * np.pi, 200)
        circle = points("unit circle", np.cos(t), np.sin(t))
        moved = [spectrum(f"simgd, h = {h}", as_complex(z)) for h, z in computed["moved"].items()]
        consensus = spectrum(f"conopt, h = {PROJECTED[-1]:g}", as_complex(computed["consensus"]))
        title = "Fig. 1: eigenvalues of F'"
        return [Panel(title, "real part", "imaginary part", (circle, *moved, consensus), square=True)]


def _random(rng: np.random.Generator) -> Matrix:
    """A 3x3 matrix whose symmetric part is positive definite."""
    B, K = rng.uniform(-2, 2, (2, 3, 3))
    J: Matrix = B @ B.T + 0.05 * np.eye(3) + (K - K.T)
    return J


def _moved(J: Matrix, solver: str, **options: Any) -> Matrix:
    return update_map(matrix_game(J), {"name": solver, **options})


def _consensus(J: Matrix, gamma: float) -> Matrix:
    """The Jacobian of the direction of conopt, from its update map."""
    M: Matrix = (np.eye(len(J)) - _moved(J, "conopt", lr=1e-3, gamma=gamma)) / 1e-3
    return M


def _bound(J: Matrix) -> float:
    """The bound of (10) on h over all eigenvalues."""
    z = np.linalg.eigvals(J)
    return float((2 / z.real / (1 + (z.imag / z.real) ** 2)).min())


def _around_the_bound(J: Matrix) -> tuple[float, float]:
    """The radii of F' with a step a little below and a little above the bound."""
    return radius(_moved(J, "simgd", lr=0.98 * _bound(J))), radius(_moved(J, "simgd", lr=1.02 * _bound(J)))


def _quotient(M: Matrix) -> float:
    z = np.linalg.eigvals(M)
    return float(np.abs(z.imag / z.real).max())


def _lemma_9(J: Matrix, gamma: float) -> tuple[float, float]:
    """|Im / Re| of J + gamma J^T J over the printed and over the derived bound."""
    skew, H = J - J.T, J + J.T
    size, rho = np.linalg.norm(skew, 2), np.linalg.svd(J, compute_uv=False).min()
    c = 1 / np.abs(np.linalg.eigvals(np.linalg.solve(H, 1j * skew))).max()
    q = _quotient(_consensus(J, gamma))
    return float(q * (c + 2 * rho**2 * gamma)), float(q * (c + 2 * rho**2 * gamma / size))


def _lemma_11(J: Matrix, beta: float, h: float) -> float:
    """How far the spectrum of F' with momentum is from that which the lemma gives."""
    F = _moved(J, "simgd", lr=h, rule={"name": "momentum", "beta": beta})
    roots = [np.roots([1, -(1 + beta - h * z), beta]) for z in np.linalg.eigvals(J)]
    return _apart(np.linalg.eigvals(F), np.concatenate(roots))


def _proposition_13(J: Matrix, rng: np.random.Generator) -> float:
    """How far F' with RMSProp is from its block form. Each number has its own moment, and eps is outside the root."""
    alpha, eps, h = rng.uniform(0.1, 0.95), rng.uniform(0.05, 2.0), rng.uniform(0.01, 0.5)
    F = _moved(J, "simgd", lr=h, rule={"name": "rmsprop", "alpha": alpha, "eps": eps})
    n, expected = len(J), np.zeros((2 * len(J), 2 * len(J)))
    expected[:n, :n], expected[n:, n:] = np.eye(n) - h / eps * J, alpha * np.eye(n)
    return float(np.abs(F - expected).max())


def _apart(found: Any, expected: Any) -> float:
    """The largest distance between two spectra whose eigenvalues are matched one by one, the nearest first."""
    left, worst = list(np.asarray(found, dtype=complex)), 0.0
    for z in np.asarray(expected, dtype=complex):
        n = int(np.argmin(np.abs(np.array(left) - z)))
        worst = max(worst, float(abs(left.pop(n) - z)))
    return worst
