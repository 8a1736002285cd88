"""One number as text, so that the text says no more than is known: bounds stay bounds, and what may be off says so."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

EXACT = 1e-11  # what is no more than this share is 0; what is more, and less than can be told from 0, is unknown
SEEN = 1e-6  # a smaller share of a number is behind the digits that are shown
_ROUNDING = {"≥": ROUND_FLOOR, "≤": ROUND_CEILING}
_OTHER = {"≥": "≤", "≤": "≥"}


def figure(x: float, digits: int = 6, sign: str = "", error: float = 0.0, largest: float = 0.0) -> str:
    """``x`` with ``sign`` ("≥", "≤") before it, or behind it by how much it may be off, where that can be seen.

    A bound is rounded to its own side, and off by so much less of one. What is no more than EXACT beside ``largest`` is
    0.
    """
    seen = error > max(SEEN * abs(x), 1e-3 * SEEN * largest)
    x += {"≥": -error, "≤": error}.get(sign, 0.0) * seen
    if math.isinf(x):
        text = "∞" if x > 0 else "−∞"
    elif seen and not sign:
        text = f"{_rounded(x, max(1, min(digits, _digits(x, error))))} ± {error:.1g}"
    else:
        text = "0" if abs(x) <= EXACT * largest else _rounded(x, digits, sign)
    return f"{sign} {text}".strip()


def rate(x: float, digits: int = 6, sign: str = "", error: float = 0.0) -> str:
    """The same of a ρ or a rate, which must be told from 1: 1.0000004 is "1 + 4e-07"."""
    text = figure(x, digits, sign, error)
    if text.removeprefix(sign).strip() != "1" or abs(x - 1) <= EXACT or error > SEEN:
        return text
    beside = _rounded(abs(x - 1), 3, sign if x > 1 else _OTHER.get(sign, ""))
    return f"{sign} 1 {'+' if x > 1 else '−'} {beside}".strip()


def _rounded(x: float, digits: int, sign: str = "") -> str:
    context = Context(prec=digits, rounding=_ROUNDING.get(sign, ROUND_HALF_EVEN))
    return f"{float(context.plus(Decimal(repr(float(x))))):.{digits}g}" if math.isfinite(x) else f"{x}"


def _digits(x: float, error: float) -> int:
    """How many digits of ``x`` are above its error."""
    return math.floor(math.log10(abs(x) / error)) + 2 if x and math.isfinite(error) else 1
