"""What kind of point a game stands at, from its spectra: whose equilibrium, if anyone's, and what holds it there.

Nash: no player gains by moving alone (every own block of J positive semi-definite). Stackelberg: the first player
leads, the other answers at its best. Stable, not Nash: someone alone would leave, all together stay; Schäfer,
Zheng and Anandkumar (2020, arXiv 1910.05852) call what keeps them there implicit competitive regularisation.
Unstable: they leave together, too. All of this to second order, and only where v = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .conditioning import radius, slowest

AT_REST = 1e-3  # the largest `distance` at which v counts as 0

KINDS = {  # name -> in words
    "nash": "Nash equilibrium",
    "stackelberg": "Stackelberg equilibrium, not Nash",
    "stable_not_nash": "stable but not Nash",
    "marginal": "neither stable nor unstable, not Nash",
    "unstable": "unstable, not Nash",
    "not_at_rest": "not at rest",
}


@dataclass(frozen=True)
class Kind:
    """Keys of KINDS, the same two where the point is at rest, and the eigenvalues that say so."""

    name: str
    curvature: str
    because: str

    @property
    def words(self) -> str:
        if self.name == self.curvature:
            return f"{KINDS[self.name]}: {self.because}"
        return f"not at rest; its curvature is that of: {KINDS[self.curvature]}: {self.because}"

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "curvature": self.curvature, "because": self.because}


def distance(gradient: float, parameters: float, eigenvalues: NDArray[Any]) -> float:
    """‖v‖ / max |λ|, as a share of 1 + ‖θ‖: at most the distance to the nearest point where the linearised v is 0."""
    largest = float(radius(eigenvalues))
    return gradient / largest / (1 + parameters) if largest > 0 else (0.0 if gradient == 0 else np.inf)


def kind_of(
    eigenvalues: NDArray[Any],
    own: Mapping[str, NDArray[Any]],
    update: NDArray[Any] | None = None,
    *,
    away: float = 0.0,
    led: float | None = None,
    rounding: float = 1e-9,
) -> Kind | None:
    """The kind of a point from the eigenvalues (n,) of J, those (n_i,) of each player's own block, and those of F'.

    Stable is Re λ(J) > 0 for all λ, or ρ(F') < 1: either the flow or the solver's step comes back. A Stackelberg
    equilibrium is looked for where ``led`` is given: the leader's least curvature, in a zero-sum game of two, along the
    other's best answers (`core.leader`). ``away`` is the `distance`: eigenvalues of J say nothing of the equilibrium
    that is smaller than it, or than ``rounding``, relative to the largest. None where no eigenvalue is known. If not
    all of them are, what is said holds as far as those known say.
    """
    own = {i: z[np.isfinite(z)] for i, z in own.items()}
    z = eigenvalues[np.isfinite(eigenvalues)]
    if not len(z) or any(not len(block) for block in own.values()):
        return None
    rest = away <= AT_REST
    share = max(rounding, away) if rest else rounding
    zero = share * max(float(radius(z)), *(float(radius(b)) for b in own.values()))
    least = {i: float(slowest(b)) for i, b in own.items()}
    leaving = {i: x for i, x in least.items() if x < -zero}
    if not leaving:
        who, x = min(least.items(), key=lambda item: item[1])
        told = f"every own block has λ ≥ 0, the least is {who}'s "
        told += f"{x:.5g}, no more than 0 beside |λ| = {zero / share:.5g}" if x < 0 else _number(x, zero)
        return _kind("nash", told, rest)
    alone = ", ".join(f"{i}'s own block has λ = {x:.5g}" for i, x in leaving.items())
    if told := _stackelberg(own, led, zero):
        return _kind("stackelberg", f"{alone}; {told}", rest)
    flow = float(slowest(z))
    rho = None if update is None else radius(update)
    told = f"min Re λ(J) = {_number(flow, zero)}" + ("" if rho is None else f", ρ(F') = {rho:.5g}")
    if flow > zero or (rho is not None and rho < 1 - rounding):
        return _kind("stable_not_nash", f"{alone}, yet {told}", rest)
    if flow >= -zero and (rho is None or rho <= 1 + rounding):
        return _kind("marginal", f"{alone}, {told}", rest)
    return _kind("unstable", f"{alone}, {told}", rest)


def joint_part(eigenvalues: NDArray[Any], own: Mapping[str, NDArray[Any]]) -> float:
    """min Re λ(J) − min over players of min λ(J_ii): how much stability is owed to the joint dynamics alone.

    The second term is how the flow would fare if each player moved and the others stood still. In a zero-sum game
    J's symmetric part is its own blocks, so the difference is never negative; where it lifts a negative second
    term above 0, only playing together holds the point (Schäfer et al. 2020, sections 1 and 4).
    """
    return float(slowest(eigenvalues) - min(float(slowest(block)) for block in own.values()))


def _stackelberg(own: Mapping[str, NDArray[Any]], led: float | None, zero: float) -> str:
    """Why the point is a Stackelberg equilibrium of two, the first of whom leads; "" if it is not.

    The follower's block must be positive definite, and so must, but for 0, the leader's curvature along its answers.
    """
    if led is None or np.isnan(led) or led < -zero or len(own) != 2:
        return ""
    leader, follower = own
    answer = float(slowest(own[follower]))
    if answer <= zero:
        return ""
    return f"{follower}'s has λ ≥ {answer:.5g}, and along its best answers {leader}'s curvature is ≥ {led:.5g}"


def _kind(curvature: str, because: str, rest: bool) -> Kind:
    return Kind(curvature if rest else "not_at_rest", curvature, because)


def _number(x: float, zero: float) -> str:
    return "0" if abs(x) <= zero else f"{x:.5g}"
