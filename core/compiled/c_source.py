"""A traced program of few numbers as C source: one line for each number that it computes, without tensors.

Each tensor becomes a tensor of int64: the places of its numbers in a list of C names. Operations that only move numbers
(views, slices, concatenation) are applied to this tensor itself. Arithmetic becomes one line for each element, in the
precision that torch uses. Sums go from the first element to the last, so sums of three or more numbers may be rounded
differently than in torch. exp and similar functions are those of the C library. All else is bit for bit as in torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

LINES = 40_000  # for more lines a C compiler takes too long

CTYPES = {torch.float64: "double", torch.float32: "float", torch.int64: "long long", torch.bool: "_Bool"}

PRELUDE = """
#include <math.h>
#include <tgmath.h>
typedef long long ll;
static ll remainder_ll(ll a, ll b) { ll r = a % b; return r && (r < 0) != (b < 0) ? r + b : r; }
static double remainder_d(double a, double b) { double r = fmod(a, b); return r && (r < 0) != (b < 0) ? r + b : r; }
/* b (n, m) <- a^-1 b by Gaussian elimination with partial pivoting, which overwrites a (n, n). It returns the number of
   the first pivot that is 0, counted from 1, or 0. */
#define SOLVE(real) static ll solve_##real(ll n, ll m, real *a, real *b) { \
    ll singular = 0; \
    for (ll k = 0; k < n; k++) { \
        ll p = k; \
        for (ll i = k + 1; i < n; i++) if (fabs(a[i * n + k]) > fabs(a[p * n + k])) p = i; \
        if (a[p * n + k] == 0) { if (!singular) singular = k + 1; continue; } \
        if (p != k) { \
            for (ll j = k; j < n; j++) { real t = a[k * n + j]; a[k * n + j] = a[p * n + j]; a[p * n + j] = t; } \
            for (ll j = 0; j < m; j++) { real t = b[k * m + j]; b[k * m + j] = b[p * m + j]; b[p * m + j] = t; } \
        } \
        for (ll i = k + 1; i < n; i++) { \
            real l = a[i * n + k] / a[k * n + k]; \
            for (ll j = k + 1; j < n; j++) a[i * n + j] -= l * a[k * n + j]; \
            for (ll j = 0; j < m; j++) b[i * m + j] -= l * b[k * m + j]; \
        } \
    } \
    for (ll k = n; k-- > 0;) for (ll j = 0; j < m; j++) { \
        b[k * m + j] /= a[k * n + k]; \
        for (ll i = 0; i < k; i++) b[i * m + j] -= a[i * n + k] * b[k * m + j]; \
    } \
    return singular; \
}
SOLVE(double) SOLVE(float)
"""


class Unwritable(Exception):
    """The program has too many numbers, or an operation that is not in the tables above."""


class Writer:
    """The lines of a program. A number is known by its place in ``values``, a list of (dtype, C name or literal)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.values: list[tuple[torch.dtype, str]] = []
        self.failures: list[int] = []  # places of numbers that are not 0 where torch would raise an error
        self._known: dict[tuple[torch.dtype, str], int] = {}
        self._outside: list[dict[tuple[torch.dtype, str], int]] = []  # what was known before the loop that is open

    # ------------------------------------------------------------------ single numbers

    def value(self, dtype: torch.dtype, text: str) -> int:
        """The place of a literal, or of a variable of that name."""
        if dtype not in CTYPES:
            raise Unwritable(f"it computes in {str(dtype).removeprefix('torch.')}")
        if (dtype, text) not in self._known:
            self._known[dtype, text] = len(self.values)
            self.values.append((dtype, text))
        return self._known[dtype, text]

    def line(self, dtype: torch.dtype, expression: str) -> int:
        """The place of the value of ``expression``. The same expression is computed once."""
        if (dtype, "=" + expression) not in self._known:
            if len(self.lines) >= LINES:
                raise Unwritable(f"a step is more than {LINES} operations on single numbers")
            name = f"v{len(self.lines)}"
            self.lines.append(f"{CTYPES[dtype]} {name} = {expression};")
            self._known[dtype, "=" + expression] = self.value(dtype, name)
        return self._known[dtype, "=" + expression]

    def literal(self, x: float, dtype: torch.dtype) -> int:
        """The place of the constant ``x``."""
        return self.value(dtype, literal(x, dtype))

    def name(self, place: int, dtype: torch.dtype) -> str:
        """The C expression for the number at ``place``, cast to ``dtype``."""
        own, text = self.values[place]
        return text if own == dtype else f"(({CTYPES[dtype]}) {text})"

    # ------------------------------------------------------------------ tensors of places

    def held(self, x: Tensor) -> Tensor:
        """The places of the numbers of a constant tensor, in its shape."""
        if x.numel() > LINES:
            raise Unwritable(f"it holds a tensor of {x.numel()} numbers")
        return torch.tensor([self.literal(n, x.dtype) for n in x.flatten().tolist()], dtype=torch.int64).reshape(
            x.shape
        )

    def loaded(self, shape: Sequence[int], dtype: torch.dtype, name: str) -> Tensor:
        """The places of a tensor whose numbers have the C names name_0, name_1, ..."""
        count = math.prod(shape)
        return torch.tensor([self.value(dtype, f"{name}_{k}") for k in range(count)], dtype=torch.int64).reshape(
            tuple(shape)
        )

    def apply(self, template: str, dtype: torch.dtype, read_as: torch.dtype, operands: Sequence[Any]) -> Tensor:
        """A line by ``template`` for each element of the broadcast operands, which are cast to ``read_as``."""
        places = [x if isinstance(x, Tensor) else torch.tensor(self.literal(x, read_as)) for x in operands]
        spread = torch.broadcast_tensors(*places)
        rows = zip(*(x.flatten().tolist() for x in spread), strict=True)
        found = [self.line(dtype, template.format(*(self.name(k, read_as) for k in row))) for row in rows]
        return torch.tensor(found, dtype=torch.int64).reshape(spread[0].shape)

    def fold(self, sign: str, dtype: torch.dtype, rows: Tensor, suffix: str = "") -> Tensor:
        """Join each row of places (R, n) by ``sign``, from the first to the last: (R,)."""
        texts = ([self.name(k, dtype) for k in row] for row in rows.tolist())
        return torch.tensor([self.line(dtype, _chain(row, sign) + suffix) for row in texts], dtype=torch.int64)

    # ------------------------------------------------------------------ loops

    def begin_loop(self, loop: int, dtypes: Sequence[torch.dtype], state: Sequence[Tensor]) -> list[Tensor]:
        """Open the loop with number ``loop``, whose ``state`` begins with these places; the places of the state in it.

        The state is kept in variables of its own, and has the same places after the loop.
        """
        if self._outside:
            raise Unwritable("it has a loop inside a loop")
        inside = [self.loaded(x.shape, d, f"l{loop}_{k}") for k, (x, d) in enumerate(zip(state, dtypes, strict=True))]
        for kind, own, new in self._pairs(dtypes, inside, state):
            self.lines.append(f"{kind} {own} = {new};")
        self._outside.append(dict(self._known))
        self.lines.append(f"ll n{loop} = 0; for (;; n{loop}++) {{")
        return inside

    def test_loop(self, loop: int, done: Tensor, most: int) -> None:
        """Leave the loop if ``done``, or after ``most`` passes."""
        self.lines.append(f"if (n{loop} == {most} || {self.name(int(done), torch.bool)}) break;")

    def end_loop(self, dtypes: Sequence[torch.dtype], inside: Sequence[Tensor], after: Sequence[Tensor]) -> None:
        """Close the loop. Its state has the places ``inside`` in it, and ``after`` at the end of a pass."""
        pairs = self._pairs(dtypes, inside, after)
        self.lines += [f"{kind} next_{own} = {new};" for kind, own, new in pairs]
        self.lines += [*(f"{own} = next_{own};" for _, own, _ in pairs), "}"]
        self._known = self._outside.pop()  # what was computed inside is not declared outside

    def _pairs(
        self, dtypes: Sequence[torch.dtype], one: Sequence[Tensor], other: Sequence[Tensor]
    ) -> list[tuple[str, str, str]]:
        """The C type and the C names of each two numbers of two lists of tensors."""
        return [
            (CTYPES[dtype], self.name(a, dtype), self.name(b, dtype))
            for dtype, x, y in zip(dtypes, one, other, strict=True)
            for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)
        ]

    # ------------------------------------------------------------------ matrices

    def solve(self, dtype: torch.dtype, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """X with a X = b, for places a (..., n, n) and b (..., n, m); and the first pivot that is 0, or 0, (...)."""
        batch, n, m = b.shape[:-2], *b.shape[-2:]
        found, zero = [], []
        for one, right in zip(a.reshape(-1, n * n).tolist(), b.reshape(-1, n * m).tolist(), strict=True):
            at, kind = len(self.lines), CTYPES[dtype]
            matrix, sides = (", ".join(self.name(k, dtype) for k in row) for row in (one, right))
            self.lines.append(f"{kind} a{at}[] = {{{matrix}}}, b{at}[] = {{{sides}}};")
            self.lines.append(f"ll i{at} = solve_{kind}({n}, {m}, a{at}, b{at});")
            found += [self.value(dtype, f"b{at}[{k}]") for k in range(n * m)]
            zero.append(self.value(torch.int64, f"i{at}"))
        return torch.tensor(found).reshape(b.shape), torch.tensor(zero).reshape(batch)

    def product(self, dtype: torch.dtype, a: Tensor, b: Tensor) -> Tensor:
        """The matrix product of places (..., n, k) and (..., k, m)."""
        terms = self.apply("{0} * {1}", dtype, dtype, [a.unsqueeze(-1), b.unsqueeze(-3)])  # (..., n, k, m)
        terms = terms.movedim(-2, -1)
        return self.fold("+", dtype, terms.reshape(-1, terms.shape[-1])).reshape(terms.shape[:-1])


def literal(x: float, dtype: torch.dtype) -> str:
    """The C literal of a number, exact."""
    if not dtype.is_floating_point:
        return f"{int(x)}{'LL' if dtype == torch.int64 else ''}" if x >= 0 else f"({int(x)}LL)"
    x = float(torch.tensor(x, dtype=dtype))
    if not math.isfinite(x):
        return "NAN" if math.isnan(x) else "INFINITY" if x > 0 else "(-INFINITY)"
    text = x.hex() + ("f" if dtype == torch.float32 else "")
    return f"({text})" if text.startswith("-") else text


def _chain(texts: list[str], sign: str) -> str:
    out = texts[0] if texts else "0"
    for text in texts[1:]:
        out = f"({out} {sign} {text})"
    return out
