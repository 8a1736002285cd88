"""The verdict on a point as one table.

Three facts decide: which equilibrium the point is, if any; whether the solver's step returns to it (ρ(F') < 1); whether
the flow returns to it (min Re λ(J) > 0). Each fact may be unknown. A verdict uses only facts that are known.
"""

from __future__ import annotations

from collections.abc import Iterator

EQUILIBRIA = ("nash", "stackelberg", "not_nash", "unknown")
STEPS = (">1", "<1", "=1", "unknown", "none")  # ρ(F'); "none": no solver was named, and the flow decides
FLOWS = (">0", "<0", "=0", "unknown")  # min Re λ(J)

KINDS = {  # the name of a verdict -> in words
    "nash": "Nash equilibrium",
    "stackelberg": "Stackelberg equilibrium, not Nash",
    "stable_not_nash": "stable but not Nash",
    "stable": "stable, whether Nash is unknown",
    "step_returns": "the flow leaves, this solver's step returns",
    "marginal": "on the border of stability",
    "unstable": "unstable",
    "not_at_rest": "not at rest",
    "unknown": "unknown",
}

# One (name, words) for each equilibrium, in the order of EQUILIBRIA. The words have places for what the own blocks say
# {own}, for what step and flow do {course}, and for " to second order" {order} where some own eigenvalue is 0.
Cells = tuple[tuple[str, str], tuple[str, str], tuple[str, str], tuple[str, str]]
_NASH = ("nash", "Nash equilibrium{order}: {own}; {course}")
_LED = ("stackelberg", "Stackelberg equilibrium, not Nash: {own}; {course}")
UNSTABLE: Cells = (
    ("unstable", "unstable: Nash equilibrium{order} of the game, from which {course}; {own}"),
    ("unstable", "unstable: Stackelberg equilibrium of the game, not Nash, from which {course}; {own}"),
    ("unstable", "unstable, not Nash: {own}; {course}"),
    ("unstable", "unstable, whether Nash is unknown: {course}; {own}"),
)
LEFT: Cells = (_NASH, _LED, *UNSTABLE[2:])  # no solver: the flow is only one way to play, so an equilibrium stays one
STABLE: Cells = (
    _NASH,
    _LED,
    ("stable_not_nash", "stable but not Nash: {own}, yet {course}"),
    ("stable", "stable, whether Nash is unknown: {course}; {own}"),
)
APART: Cells = (
    _NASH,
    _LED,
    ("step_returns", "not Nash: {own}; {course}"),
    ("step_returns", "whether Nash is unknown: {course}; {own}"),
)
MARGINAL: Cells = (
    _NASH,
    _LED,
    ("marginal", "on the border of stability, not Nash: {own}; {course}"),
    ("marginal", "on the border of stability, whether Nash is unknown: {course}; {own}"),
)
OPEN: Cells = (
    _NASH,
    _LED,
    ("unknown", "unknown, but not Nash: {own}; {course}"),
    ("unknown", "unknown: {own}; {course}"),
)

ANY = None
VERDICTS: tuple[tuple[str, str | None, str, Cells], ...] = (  # ρ(F'), min Re λ(J), the course; the first match counts
    (">1", ">0", "this solver's step departs, though the flow returns", UNSTABLE),
    (">1", ANY, "this solver's step departs", UNSTABLE),
    ("<1", "<0", "the flow leaves, this solver's step returns", APART),
    ("<1", "unknown", "this solver's step returns, what the flow does is unknown", STABLE),
    ("<1", ANY, "this solver's step returns", STABLE),
    ("=1", "<0", "the flow leaves, whether this solver's step returns is not decided to first order", MARGINAL),
    ("=1", ">0", "the flow returns, whether this solver's step returns is not decided to first order", MARGINAL),
    ("=1", ANY, "whether this solver's step returns is not decided to first order", MARGINAL),
    ("unknown", "<0", "the flow leaves, what this solver's step does is unknown", OPEN),
    ("unknown", ">0", "the flow returns, what this solver's step does is unknown", OPEN),
    ("unknown", ANY, "what this solver's step does is unknown", OPEN),
    ("none", "<0", "the flow leaves", LEFT),
    ("none", ">0", "the flow returns", STABLE),
    ("none", "=0", "whether the flow returns is not decided to first order", MARGINAL),
    ("none", "unknown", "what the flow does is unknown", OPEN),
)


def verdict(equilibrium: str, step: str, flow: str) -> tuple[str, str, str]:
    """Return the name of the verdict, its words with places for {own}, {order} and {course}, and the course."""
    found = (row for row in VERDICTS if row[0] == step and row[1] in (ANY, flow))
    _, _, course, cells = next(found)
    name, words = cells[EQUILIBRIA.index(equilibrium)]
    return name, words, course


def cells() -> Iterator[tuple[str, str, str]]:
    """Every combination of equilibrium, step and flow."""
    return ((e, s, f) for e in EQUILIBRIA for s in STEPS for f in FLOWS)
