"""What kind of point a game is at, from its spectra.

- Nash: no player gains by moving alone (every player's own block of J is positive semi-definite).
- Stackelberg: the first player leads, and the other one gives its best answer.
- Stable but not Nash: some player alone would leave, but the joint dynamics stay. Schäfer, Zheng and Anandkumar (2020,
  arXiv 1910.05852) call this implicit competitive regularisation.
- Unstable: the joint dynamics leave.

All of this holds to second order, and only where v = 0. One eigenvalue can prove that a point is left. Only a complete
spectrum can prove that the dynamics return to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..log.schema import NOISE_BATCHES
from .certainty import Known, bound_sign
from .conditioning import slowest
from .number_format import EXACT, number_text, rate_text
from .verdict_table import verdict

AT_REST = 1e-3  # the largest distance to where v is 0, as a share of 1 + ‖θ‖, at which a point counts as at rest
VANISHING = 1e-15  # times max |λ| (1 + ‖θ‖): a v that is no larger is rounding
LEFT = 0.25  # the share of v that a Newton step may leave near a place where v is 0 and J is not singular
DEVIATIONS = 4.0  # standard errors by which the mean of v may be off; of few batches the error itself is rough


@dataclass(frozen=True)
class Rest:
    """Whether v = 0 ("yes", "no", "unknown"), the largest `distance` from there that is possible, and ‖v‖ in words."""

    state: str = "yes"
    distance: float = 0.0
    words: str = ""


@dataclass(frozen=True)
class Kind:
    """A verdict on a point.

    ``name`` is one of KINDS, ``curvature`` the name it would have if v were 0, ``words`` the verdict in words and
    ``because`` the numbers it rests on. ``equilibrium``, ``step`` and ``flow`` are its row in `verdict_table`;
    ``at_rest`` is the state of `Rest`.
    """

    name: str
    curvature: str
    words: str
    because: str
    equilibrium: str
    step: str
    flow: str
    at_rest: str

    def facts(self) -> dict[str, str]:
        """The verdict as a dictionary of its fields, as `summary --json` prints it."""
        return dict(vars(self))


def distance(gradient: float, parameters: float, modulus: float) -> float:
    """‖v‖ / |λ| as a share of 1 + ‖θ‖, for the modulus of one eigenvalue of J.

    To where J says that v is 0 it is at least as far as with the largest, and at most as far as with the least; for a
    normal J.
    """
    return gradient / modulus / (1 + parameters) if modulus > 0 else (0.0 if gradient == 0 else math.inf)


def rest_of(
    gradient: float | None,
    parameters: float | None,
    J: Known,
    *,
    noise: float | None = None,
    mean: float | None = None,
    newton: tuple[float, float, float] = (math.nan, math.nan, math.nan),
    at_boundary: bool = False,
    batches: int = NOISE_BATCHES,
) -> Rest:
    """Whether a point is at rest, that is, whether v = 0.

    ``gradient`` is the norm of v on one batch, ``mean`` the norm of the mean of v over ``batches`` batches and
    ``noise`` the standard deviation of v between batches (0 where the game draws nothing). The mean may be off by
    DEVIATIONS · noise / √batches. ``newton`` are norm and deviation of the Newton step to where J says that the mean
    is 0, and the share of v that is left there. At the boundary of a strategy set v need not be 0.

    Where the step leaves little of v, its length tells how far the point is from rest. Where it is not known (J is no
    matrix, or the log is from before), the least eigenvalue of J bounds the distance from above, and the largest one
    from below; both for a normal J. A v that is 0 to rounding is at rest in any case.
    """
    parameters = math.nan if parameters is None else parameters
    drawn = noise is None or noise > 0
    size = mean if drawn and mean is not None else gradient
    if size is None or not math.isfinite(size) or not math.isfinite(parameters):
        return Rest("unknown", math.inf, "v was not recorded")
    slack, off = (0.0, 0.0) if not drawn else (math.inf, math.inf)
    if drawn and noise is not None and mean is not None:
        slack, off = (DEVIATIONS * x / math.sqrt(batches) for x in (noise, newton[1]))
    if not drawn:
        words = f"‖v‖ = {size:.3g}"
    elif math.isfinite(slack):
        words = f"‖v‖ = {size:.3g} ± {slack:.2g} over {batches} batches"
    else:
        words = f"‖v‖ = {size:.3g} on one batch, and what batches differ by was not recorded"
    most, near = (distance(max(size + s, 0.0), parameters, J.radius) for s in (slack, -slack))
    if (most if math.isfinite(slack) else distance(size, parameters, J.radius)) <= VANISHING:
        return Rest("yes", 0.0, words)
    step, _, left = newton
    if at_boundary:
        return Rest("unknown", math.inf, f"{words}, at the boundary of a strategy set")
    if left <= LEFT and math.isfinite(off):
        far, near, is_known = (step + off) / (1 + parameters), (step - off) / (1 + parameters), True
    else:  # a step that leaves much of v says that the place is not near, or that there is none
        least = float(np.abs(J.values).min()) if J.complete is True and math.isnan(left) else 0.0
        far, is_known = distance(size + slack, parameters, least), J.largest_is_certain
    if far <= AT_REST:
        return Rest("yes", far, words)
    # If the largest modulus is not certain, max |λ| may be larger than J.radius, and the distance smaller than `near`.
    return Rest("no" if near > AT_REST and is_known else "unknown", far, words)


def kind_of(
    J: Known,
    own: Mapping[str, Known],
    update: Known | None = None,
    *,
    rest: Rest = Rest(),
    leader_curvature: float | None = None,
    rounding: float = 1e-9,
    negligible: float = 2e-17,
    bounded: bool = False,
) -> Kind | None:
    """The kind of a point from what is known of J, of each player's own block and of F'; None if nothing is known.

    A Stackelberg equilibrium is looked for where ``leader_curvature`` is given: in a zero-sum game of two, the least
    curvature of the leader's loss along the follower's best answers (`spectra.stackelberg`). Whether an eigenvalue
    is 0 is unknown where its share of the largest modulus is below ``rounding``, or below the distance of the point
    from rest. It counts as 0 where its share is at most EXACT, and in an own block where it is at most ``negligible``.
    Of a ``bounded`` point, where a strategy set stops v, only F' says something.
    """
    everything = [J, *own.values(), *([] if update is None else [update])]
    if not any(len(known.values) for known in everything):
        return None
    largest = np.nanmax([0.0, J.radius, *(b.radius for b in own.values())])
    share = max(rounding, rest.distance) if rest.state == "yes" else rounding
    zero = share * largest
    equilibrium, why = _equilibrium(own, leader_curvature, zero, negligible * largest)
    flow, step = _flow(J, zero, EXACT * largest), _step(update, rounding)
    if bounded:
        equilibrium, flow, why = "unknown", "unknown", "J says nothing at the boundary of a strategy set"
    name, words, course = verdict(equilibrium, step, flow)
    reasons = {"own": why, "course": ": ".join(filter(None, [course, _numbers(J, update, largest)]))}
    order = "" if all((b.values.real > np.maximum(zero, b.error)).all() for b in own.values()) else " to second order"
    words, curvature = words.format(**reasons, order=order), name
    if rest.state != "yes":
        prefix = "unstable, " if name == "unstable" else ""
        aside = f" ({rest.words})" if rest.words else ""
        where = "not at rest" if rest.state == "no" else "whether it is at rest is unknown"
        words = f"{prefix}{where}{aside}; its curvature is that of: {words}"
        name = name if prefix else {"no": "not_at_rest", "unknown": "unknown"}[rest.state]
    return Kind(name, curvature, words, "; ".join(reasons.values()), equilibrium, step, flow, rest.state)


def stability_from_joint_play(J: Known, own: Mapping[str, Known]) -> float:
    """min Re λ(J) − min over players of min λ(J_ii): the part of the stability that comes from joint play.

    The second term is the stability of the flow if each player moved while the others stood still. In a zero-sum game
    the symmetric part of J consists of the own blocks, so the difference is never negative. Where the second term is
    negative and min Re λ(J) positive, only joint play holds the point (Schäfer et al. 2020, sections 1 and 4). NaN
    where a spectrum is not complete, or min Re λ(J) may be off by more than a thousandth of the difference.
    """
    if not own or not all(known.complete is True for known in (J, *own.values())):
        return math.nan
    part = float(slowest(J.values) - min(float(slowest(block.values)) for block in own.values()))
    return part if J.real_error <= max(1e-3 * abs(part), EXACT * J.radius) else math.nan


def _flow(J: Known, zero: float, exact: float) -> str:
    """The sign of min Re λ(J). A real part up to ``exact`` counts as 0, one between that and ``zero`` is unknown."""
    re, off = J.values.real, np.maximum(zero, J.error)
    if (re < -off).any():
        return "<0"
    if J.complete is not True:
        return "unknown"
    positive = re > off
    if positive.all():
        return ">0"
    return "=0" if (positive | (np.abs(re) <= exact)).all() else "unknown"


def _step(update: Known | None, rounding: float) -> str:
    """ρ(F') compared with 1."""
    if update is None:
        return "none"
    size, off = np.abs(update.values), np.maximum(rounding, update.error)
    if not update.differentiable:
        return "unknown"
    if (size > 1 + off).any():
        return ">1"
    if update.complete is not True:
        return "unknown"
    inside = size < 1 - off
    if inside.all():
        return "<1"
    return "=1" if (inside | (np.abs(size - 1) <= EXACT)).all() else "unknown"


def _equilibrium(own: Mapping[str, Known], curvature: float | None, zero: float, negligible: float) -> tuple[str, str]:
    """Which of EQUILIBRIA the point is, from the players' own blocks and the leader's ``curvature``; and why."""
    least = {i: float(slowest(b.values[b.values.real < -np.maximum(zero, b.error)])) for i, b in own.items()}
    leaving = {i: x for i, x in least.items() if x < 0}
    if leaving:
        alone = ", ".join(f"{i}'s own block has λ = {x:.5g}" for i, x in leaving.items())
        if why := _stackelberg(own, curvature, zero, negligible):
            return "stackelberg", f"{alone}; {why}"
        return "not_nash", alone
    if not own:
        return "unknown", "the players' own blocks were not recorded"
    for i, block in own.items():
        if block.complete is not True:
            return "unknown", f"not all eigenvalues of {i}'s own block are known"
        doubtful = np.where(block.error > zero, block.values.real < block.error, False)
        doubtful |= block.values.real < -max(EXACT * block.radius, negligible)
        if doubtful.any():
            x = float(slowest(block.values[doubtful]))
            return "unknown", f"{i}'s own block has λ = {x:.5g}, which cannot be distinguished from 0 here"
    who, x = min(((i, float(slowest(b.values))) for i, b in own.items()), key=lambda item: item[1])
    return "nash", f"every own block has λ ≥ 0, the least is {who}'s {_number(x, zero)}"


def _stackelberg(own: Mapping[str, Known], curvature: float | None, zero: float, negligible: float) -> str:
    """Why the point is a Stackelberg equilibrium of two players, the first of whom leads; "" if it is not.

    The follower's block must be positive definite, and the leader's ``curvature`` along its answers positive.
    """
    if curvature is None or not curvature > max(zero, negligible) or len(own) != 2:
        return ""
    leader, follower = own
    answer = float(slowest(own[follower].values))
    if own[follower].complete is not True or not answer > max(zero, own[follower].real_error):
        return ""
    return f"{follower}'s has λ ≥ {answer:.5g}, and along its best answers {leader}'s curvature is ≥ {curvature:.5g}"


def _numbers(J: Known, update: Known | None, largest: float) -> str:
    """ρ(F') and min Re λ(J), as far as they are known, and what was seen beyond that."""
    out = []
    if update is not None and update.differentiable and len(update.certain):
        out.append(f"ρ(F') {_equals(rate_text, update.radius, update, '≥', update.radius_error)}")
    if update is not None and update.differentiable and not update.largest_is_certain and len(update.values):
        seen = float(np.abs(update.values).max())
        out.append(f"of F' also |λ| = {seen:.4g} was seen, which has not converged: more products may settle it")
    if len(J.certain):
        out.append(f"min Re λ(J) {_equals(number_text, float(slowest(J.certain)), J, '≤', J.real_error, largest)}")
    return ", ".join(out)


def _equals(text: Callable[..., str], x: float, known: Known, sign: str, *about: float) -> str:
    """``x`` as text with "=" before it, or with the sign of a bound where not all eigenvalues are known."""
    sign = bound_sign(known.complete, sign)
    return ("" if sign else "= ") + text(x, 5, sign, *about)


def _number(x: float, zero: float) -> str:
    return "0" if abs(x) <= zero else f"{x:.5g}"
