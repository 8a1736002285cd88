"""A traced program of few numbers as C source: one line for each number that it computes, without tensors.

Each tensor becomes a tensor of int64: the places of its numbers in a list of C names. Operations that only move numbers
(views, slices, concatenation) are applied to this tensor itself. Arithmetic becomes one line for each element, in the
precision that torch uses. Sums go from the first element to the last, so sums of three or more numbers may be rounded
differently than in torch. exp and similar functions are those of the C library. All else is bit for bit as in torch.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..tracing.program.graph import HELD, INPUT, Graph, Node, substitute
from ..tracing.program.simplify import A

LINES = 40_000  # for more lines a C compiler takes too long

CTYPES = {torch.float64: "double", torch.float32: "float", torch.int64: "long long", torch.bool: "_Bool"}

PRELUDE = """
#include <math.h>
#include <tgmath.h>
typedef long long ll;
static ll remainder_ll(ll a, ll b) { ll r = a % b; return r && (r < 0) != (b < 0) ? r + b : r; }
static double remainder_d(double a, double b) { double r = fmod(a, b); return r && (r < 0) != (b < 0) ? r + b : r; }
"""

MOVES = {  # operations whose result consists of numbers of the operands
    A.alias, A.cat, A.clone, A.detach, A.diagonal, A.expand, A.flip, A.index_select, A.permute, A.repeat, A.reshape,
    A.roll, A.select, A.select_scatter, A.slice, A.slice_scatter, A.split, A.split_with_sizes, A.squeeze, A.stack, A.t,
    A.transpose, A.unbind, A.unbind_copy, A.unsqueeze, A.view,
}  # fmt: skip

ARITHMETIC = {  # computed in the precision of the result
    A.add: "{0} + {1}", A.sub: "{0} - {1}", A.mul: "{0} * {1}", A.div: "{0} / {1}", A.neg: "-{0}",
    A.reciprocal: "1 / {0}", A.sqrt: "sqrt({0})", A.rsqrt: "1 / sqrt({0})", A.abs: "fabs({0})",
    A.exp: "exp({0})", A.expm1: "expm1({0})", A.log: "log({0})", A.log1p: "log1p({0})", A.log2: "log2({0})",
    A.sin: "sin({0})", A.cos: "cos({0})", A.tan: "tan({0})", A.sinh: "sinh({0})", A.cosh: "cosh({0})",
    A.tanh: "tanh({0})", A.asin: "asin({0})", A.acos: "acos({0})", A.atan: "atan({0})", A.atan2: "atan2({0}, {1})",
    A.erf: "erf({0})", A.floor: "floor({0})", A.ceil: "ceil({0})", A.sigmoid: "1 / (1 + exp(-{0}))",
    A.relu: "{0} < 0 ? 0 : {0}", A.sign: "({0} > 0) - ({0} < 0)", A.square: "{0} * {0}",
    A.bitwise_and: "{0} & {1}", A.bitwise_or: "{0} | {1}",
    A.leaky_relu: "{0} > 0 ? {0} : {0} * {1}",
    A.maximum: "{0} != {0} || {0} > {1} ? {0} : {1}", A.minimum: "{0} != {0} || {0} < {1} ? {0} : {1}",
}  # fmt: skip
COMPARISONS = {  # computed in the precision of the operands
    A.eq: "{0} == {1}", A.ne: "{0} != {1}", A.lt: "{0} < {1}", A.le: "{0} <= {1}", A.gt: "{0} > {1}",
    A.ge: "{0} >= {1}", A.logical_and: "{0} && {1}", A.logical_or: "{0} || {1}", A.logical_not: "!{0}",
    A.isnan: "{0} != {0}",
}  # fmt: skip
POWERS = {2: "{0} * {0}", 3: "{0} * {0} * {0}", 1: "{0}", 0.5: "sqrt({0})", -1: "1 / {0}", -2: "1 / ({0} * {0})"}


class Unwritable(Exception):
    """The program has too many numbers, or an operation that is not in the tables above."""


class Writer:
    """The lines of a program. A number is known by its place in ``values``, a list of (dtype, C name or literal)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.values: list[tuple[torch.dtype, str]] = []
        self._known: dict[tuple[torch.dtype, str], int] = {}

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


def write(g: Graph, writer: Writer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Append the lines of ``g`` to ``writer``. ``inputs`` and the result are places. Raises Unwritable."""
    known: dict[Node, Any] = {}
    for node in g.live():
        known[node] = _node(node, writer, inputs, known)
    return [known[node] for node in g.outputs]


def _node(node: Node, w: Writer, inputs: Sequence[Tensor], known: dict[Node, Any]) -> Any:
    if node.op is INPUT:
        return inputs[node.args[0]]
    if node.op is HELD:
        return w.held(node.args[0])
    args = substitute(node.args, known.__getitem__)
    if node.op is operator.getitem:
        return args[0][args[1]]
    if not any(True for _ in node.operands()):  # depends on no input, so it is computed now
        return w.held(node.op(*node.args, **node.kwargs).cpu())
    packet = node.op.overloadpacket
    if packet in MOVES:
        return node.op(*args, **node.kwargs)
    if packet is A.full_like:
        return w.held(torch.full(node.meta.shape, args[1], dtype=node.meta.dtype))
    if packet in COMPARISONS:
        read_as = next(x.meta.dtype for x in node.operands())
        if not read_as.is_floating_point and any(isinstance(x, float) for x in args):
            read_as = torch.float64
        return w.apply(COMPARISONS[packet], torch.bool, read_as, args)
    rule = RULES.get(packet)
    if rule is None and (packet not in ARITHMETIC or str(node.op).endswith("_mode")):
        raise Unwritable(f"it uses {node.op}")
    return (rule or _arithmetic)(w, node, args, node.meta.dtype)


Written = Callable[[Writer, Node, tuple[Any, ...], torch.dtype], Tensor]


def _arithmetic(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    alpha = node.kwargs.get("alpha", 1)
    if alpha != 1:
        args = (args[0], w.apply("{1} * {0}", dtype, dtype, [args[1], alpha]))
    if node.op is A.leaky_relu.default:
        args = (*args, 0.01)
    return w.apply(ARITHMETIC[node.op.overloadpacket], dtype, dtype, args[:2])


def _power(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    exponent = args[1]
    quick = POWERS.get(exponent) if isinstance(exponent, int | float) else None
    return w.apply(quick or "pow({0}, {1})", dtype, dtype, args[:1] if quick else args)


def _remainder(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    return w.apply(f"remainder_{'d' if dtype.is_floating_point else 'll'}({{0}}, {{1}})", dtype, dtype, args)


def _cast(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    same = all(x.meta.dtype == dtype for x in node.operands())
    return args[0] if same else w.apply("{0}", dtype, dtype, args[:1])


def _where(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    test = w.apply("{0}", torch.bool, torch.bool, args[:1])
    a, b = (x if isinstance(x, Tensor) else torch.tensor(w.literal(x, dtype)) for x in args[1:])
    a, b = (w.apply("{0}", dtype, dtype, [x]) for x in (a, b))
    spread = [x.flatten().tolist() for x in torch.broadcast_tensors(test, a, b)]
    names = (tuple(w.values[k][1] for k in row) for row in zip(*spread, strict=True))
    found = [w.line(dtype, f"{t} ? {x} : {y}") for t, x, y in names]
    return torch.tensor(found, dtype=torch.int64).reshape(node.meta.shape)


def _clamp(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    x = args[0]
    for bound, packet in zip(args[1:], (A.maximum, A.minimum), strict=False):
        if bound is not None:
            x = w.apply(ARITHMETIC[packet], dtype, dtype, [x, bound])
    return x


def _reduced(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    x, given = args[0], args[1] if len(args) > 1 and args[1] is not None else ()
    dims = [d % max(x.dim(), 1) for d in given] or list(range(x.dim()))
    kept = [d for d in range(x.dim()) if d not in dims]
    count = math.prod(x.shape[d] for d in dims)
    rows = x.permute(*kept, *dims).reshape(-1, count) if x.dim() else x.reshape(1, 1)
    suffix = f" / {w.name(w.literal(count, dtype), dtype)}" if node.op.overloadpacket is A.mean else ""
    return w.fold("+", dtype, rows, suffix).reshape(node.meta.shape)


def _norm(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    if args[1:2] not in ((), (2,)):
        raise Unwritable(f"it uses {node.op} of order {args[1]}")
    square = w.apply("{0} * {0}", dtype, dtype, args[:1])
    return w.apply("sqrt({0})", dtype, dtype, [_reduced(w, node, (square, *args[2:]), dtype)])


def _matrices(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    if node.kwargs:
        raise Unwritable(f"it uses {node.op} with {', '.join(node.kwargs)}")
    *added, a, b = args
    found = w.product(dtype, a.reshape(1, -1) if a.dim() == 1 else a, b.unsqueeze(-1) if b.dim() == 1 else b)
    found = found.reshape(torch.Size(node.meta.shape)) if not added else found
    return w.apply("{0} + {1}", dtype, dtype, [*added, found]) if added else found


def _addcmul(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    value = node.kwargs.get("value", 1)
    template = {1: "{0} + {1} * {2}", -1: "{0} - {1} * {2}"}.get(value, "{0} + {3} * {1} * {2}")
    return w.apply(template, dtype, dtype, [*args, value][: 3 if value in (1, -1) else 4])


RULES: dict[Any, Written] = {
    A.pow: _power, A.remainder: _remainder, A._to_copy: _cast, A.where: _where, A.clamp: _clamp, A.sum: _reduced,
    A.mean: _reduced, A.linalg_vector_norm: _norm, A.addcmul: _addcmul,
    **dict.fromkeys((A.mm, A.bmm, A.mv, A.dot, A.addmm, A.baddbmm), _matrices),
}  # fmt: skip
