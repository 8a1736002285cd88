"""What kind of point a game stands at, from its spectra: whose equilibrium, if anyone's, and what holds it there.

Nash: no player gains by moving alone (every own block of J positive semi-definite). Stackelberg: the first player
leads, the other answers at its best. Stable, not Nash: someone alone would leave, all together stay; Schäfer,
Zheng and Anandkumar (2020, arXiv 1910.05852) call what keeps them there implicit competitive regularisation.
Unstable: they leave together, too. All of this to second order, and only where v = 0. Of a spectrum that is not
complete a single eigenvalue may prove that something leaves, and nothing proves that all come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..log.schema import NOISE_BATCHES
from .certainty import Known, bound
from .conditioning import slowest
from .numerals import EXACT, figure, rate
from .verdict_table import verdict

AT_REST = 1e-3  # the largest `distance` at which v counts as 0
DEVIATIONS = 4.0  # standard errors that the mean of v may be off by: few batches tell the error itself only roughly


@dataclass(frozen=True)
class Rest:
    """Whether v = 0 ("yes", "no", "unknown"), how far away that may be at most (`distance`), and v in words."""

    state: str = "yes"
    away: float = 0.0
    told: str = ""


@dataclass(frozen=True)
class Kind:
    """A verdict: its name among KINDS, the same where the point is at rest, in words, and what it was drawn from."""

    name: str
    curvature: str
    words: str
    because: str
    equilibrium: str
    step: str
    flow: str
    at_rest: str

    def facts(self) -> dict[str, str]:
        return dict(vars(self))


def distance(gradient: float, parameters: float, largest: float) -> float:
    """‖v‖ / max |λ|, as a share of 1 + ‖θ‖: at most the distance to the nearest point where the linearised v is 0."""
    return gradient / largest / (1 + parameters) if largest > 0 else (0.0 if gradient == 0 else math.inf)


def rest_of(
    gradient: float | None,
    parameters: float | None,
    J: Known,
    *,
    noise: float | None = None,
    mean: float | None = None,
    batches: int = NOISE_BATCHES,
    rounding: float = 1e-12,
) -> Rest:
    """Whether a point is at rest. ``gradient`` is the norm of v on one batch, ``mean`` that of its mean over several.

    ``noise`` is the standard deviation of v between batches, 0 where nothing is drawn: v of one batch is not v. The
    mean is off by noise / √batches, times DEVIATIONS at most. At rest only if v is 0 even at the upper end, not at rest
    only if it is not even at the lower one. Where the noise is unknown, v is 0 where one batch's is to ``rounding``.
    """
    parameters = math.nan if parameters is None else parameters
    drawn = noise is None or noise > 0
    size = mean if drawn and mean is not None else gradient
    if size is None or not math.isfinite(size) or not math.isfinite(parameters):
        return Rest("unknown", math.inf, "v was not recorded")
    slack = 0.0 if not drawn else math.inf
    if drawn and noise is not None and mean is not None:
        slack = DEVIATIONS * noise / math.sqrt(batches)
    far, near = (distance(max(size + s, 0.0), parameters, J.radius) for s in (slack, -slack))
    if not drawn:
        told = f"‖v‖ = {size:.3g}"
    elif math.isfinite(slack):
        told = f"‖v‖ = {size:.3g} ± {slack:.2g} over {batches} batches"
    else:
        told = f"‖v‖ = {size:.3g} on one batch, and what batches differ by was not recorded"
        if (one := distance(size, parameters, J.radius)) <= rounding:
            return Rest("yes", one, told)
    if far <= AT_REST:
        return Rest("yes", far, told)
    # Where the largest modulus is not certain, the others may be too small a measure.
    return Rest("no" if near > AT_REST and J.led else "unknown", far, told)


def kind_of(
    J: Known,
    own: Mapping[str, Known],
    update: Known | None = None,
    *,
    rest: Rest = Rest(),
    led: float | None = None,
    rounding: float = 1e-9,
    dust: float = 2e-17,
) -> Kind | None:
    """The kind of a point from what is known of J, of each player's own block, and of F'; None if that is nothing.

    A Stackelberg equilibrium is looked for where ``led`` is given: the leader's least curvature, in a zero-sum game of
    two, along the other's best answers (`stackelberg`). Eigenvalues say nothing of the equilibrium that is
    smaller than ``rounding``, or than the distance to it, relative to the largest: whether that is 0 is unknown, unless
    it is EXACT, or no more than ``dust`` in an own block.
    """
    everything = [J, *own.values(), *([] if update is None else [update])]
    if not any(len(known.values) for known in everything):
        return None
    largest = np.nanmax([0.0, J.radius, *(b.radius for b in own.values())])
    share = max(rounding, rest.away) if rest.state == "yes" else rounding
    zero = share * largest
    equilibrium, told = _equilibrium(own, led, zero, dust * largest)
    flow, step = _flow(J, zero, EXACT * largest), _step(update, rounding)
    name, words, course = verdict(equilibrium, step, flow)
    said = {"own": told, "course": ": ".join(filter(None, [course, _numbers(J, update, largest)]))}
    order = "" if all((b.values.real > np.maximum(zero, b.error)).all() for b in own.values()) else " to second order"
    words, curvature = words.format(**said, order=order), name
    if rest.state != "yes":
        lead = "unstable, " if name == "unstable" else ""
        aside = f" ({rest.told})" if rest.told else ""
        where = "not at rest" if rest.state == "no" else "whether it is at rest is unknown"
        words = f"{lead}{where}{aside}; its curvature is that of: {words}"
        name = name if lead else {"no": "not_at_rest", "unknown": "unknown"}[rest.state]
    return Kind(name, curvature, words, "; ".join(said.values()), equilibrium, step, flow, rest.state)


def joint_part(J: Known, own: Mapping[str, Known]) -> float:
    """min Re λ(J) − min over players of min λ(J_ii): how much stability is owed to the joint dynamics alone.

    The second term is how the flow would fare if each player moved and the others stood still. In a zero-sum game
    J's symmetric part is its own blocks, so the difference is never negative; where it lifts a negative second
    term above 0, only playing together holds the point (Schäfer et al. 2020, sections 1 and 4). NaN where the spectra
    are known in part, or no better than that.
    """
    if not own or not all(known.complete is True for known in (J, *own.values())):
        return math.nan
    part = float(slowest(J.values) - min(float(slowest(block.values)) for block in own.values()))
    return part if J.real_error <= max(1e-3 * abs(part), EXACT * J.radius) else math.nan


def _flow(J: Known, zero: float, exact: float) -> str:
    """The sign of min Re λ(J): 0 where it is no more than ``exact``, unknown between that and ``zero``."""
    re, off = J.values.real, np.maximum(zero, J.error)
    if (re < -off).any():
        return "<0"
    if J.complete is not True:
        return "unknown"
    away = re > off
    if away.all():
        return ">0"
    return "=0" if (away | (np.abs(re) <= exact)).all() else "unknown"


def _step(update: Known | None, rounding: float) -> str:
    """ρ(F') beside 1."""
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


def _equilibrium(own: Mapping[str, Known], led: float | None, zero: float, dust: float) -> tuple[str, str]:
    """Whose equilibrium it is, by the own blocks, and why."""
    least = {i: float(slowest(b.values[b.values.real < -np.maximum(zero, b.error)])) for i, b in own.items()}
    leaving = {i: x for i, x in least.items() if x < 0}
    if leaving:
        alone = ", ".join(f"{i}'s own block has λ = {x:.5g}" for i, x in leaving.items())
        if told := _stackelberg(own, led, zero, dust):
            return "stackelberg", f"{alone}; {told}"
        return "not_nash", alone
    if not own:
        return "unknown", "the players' own blocks were not recorded"
    for i, block in own.items():
        if block.complete is not True:
            return "unknown", f"not all eigenvalues of {i}'s own block are known"
        doubtful = np.where(block.error > zero, block.values.real < block.error, False)
        doubtful |= block.values.real < -max(EXACT * block.radius, dust)
        if doubtful.any():
            x = float(slowest(block.values[doubtful]))
            return "unknown", f"{i}'s own block has λ = {x:.5g}, which cannot be told from 0 here"
    who, x = min(((i, float(slowest(b.values))) for i, b in own.items()), key=lambda item: item[1])
    return "nash", f"every own block has λ ≥ 0, the least is {who}'s {_number(x, zero)}"


def _stackelberg(own: Mapping[str, Known], led: float | None, zero: float, dust: float) -> str:
    """Why the point is a Stackelberg equilibrium of two, the first of whom leads; "" if it is not.

    The follower's block must be positive definite, and so must, but for 0, the leader's curvature along its answers.
    """
    if led is None or not led >= -dust or len(own) != 2:
        return ""
    leader, follower = own
    answer = float(slowest(own[follower].values))
    if own[follower].complete is not True or not answer > max(zero, own[follower].real_error):
        return ""
    return f"{follower}'s has λ ≥ {answer:.5g}, and along its best answers {leader}'s curvature is ≥ {led:.5g}"


def _numbers(J: Known, update: Known | None, largest: float) -> str:
    """ρ(F') and min Re λ(J), as far as they are known."""
    out = []
    if update is not None and update.differentiable and len(update.certain):
        out.append(f"ρ(F') {_beside(rate, update.radius, update, '≥', update.radius_error)}")
    if len(J.certain):
        out.append(f"min Re λ(J) {_beside(figure, float(slowest(J.certain)), J, '≤', J.real_error, largest)}")
    return ", ".join(out)


def _beside(text: Callable[..., str], x: float, known: Known, sign: str, *about: float) -> str:
    """With "=" before it, or with the sign of a bound where not all eigenvalues are known."""
    sign = bound(known.complete, sign)
    return ("" if sign else "= ") + text(x, 5, sign, *about)


def _number(x: float, zero: float) -> str:
    return "0" if abs(x) <= zero else f"{x:.5g}"
