"""One number as text that claims no more than is known: a bound stays a bound, and an error is shown."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

EXACT = 1e-11  # a share of the largest number up to which a number counts as 0
VISIBLE = 1e-6  # a relative error below this is behind the digits that are shown
_ROUNDING = {"≥": ROUND_FLOOR, "≤": ROUND_CEILING}
_OTHER = {"≥": "≤", "≤": "≥"}


def number_text(x: float, digits: int = 6, sign: str = "", error: float = 0.0, largest: float = 0.0) -> str:
    """``x`` in ``digits`` digits, with ``sign`` ("≥", "≤") before it, or "± ``error``" behind it if that is visible.

    A bound is moved by its error and rounded, both to the safe side. A number up to EXACT times ``largest`` is "0".
    """
    visible = error > max(VISIBLE * abs(x), 1e-3 * VISIBLE * largest)
    x += {"≥": -error, "≤": error}.get(sign, 0.0) * visible
    if math.isinf(x):
        text = "∞" if x > 0 else "−∞"
    elif visible and not sign:
        text = f"{_rounded(x, max(1, min(digits, _digits(x, error))))} ± {error:.1g}"
    else:
        text = "0" if abs(x) <= EXACT * largest else _rounded(x, digits, sign)
    return f"{sign} {text}".strip()


def rate_text(x: float, digits: int = 6, sign: str = "", error: float = 0.0) -> str:
    """`number_text` for a ρ or a rate, whose difference from 1 matters: 1.0000004 is "1 + 4e-07"."""
    text = number_text(x, digits, sign, error)
    if text.removeprefix(sign).strip() != "1" or abs(x - 1) <= EXACT or error > VISIBLE:
        return text
    difference = _rounded(abs(x - 1), 3, sign if x > 1 else _OTHER.get(sign, ""))
    return f"{sign} 1 {'+' if x > 1 else '−'} {difference}".strip()


def _rounded(x: float, digits: int, sign: str = "") -> str:
    context = Context(prec=digits, rounding=_ROUNDING.get(sign, ROUND_HALF_EVEN))
    return f"{float(context.plus(Decimal(repr(float(x))))):.{digits}g}" if math.isfinite(x) else f"{x}"


def _digits(x: float, error: float) -> int:
    """How many digits of ``x`` are above its error."""
    return math.floor(math.log10(abs(x) / error)) + 2 if x and math.isfinite(error) else 1
