"""The operations of a traced program as C, one rule for each kind. What has no rule is named and not compiled."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..tracing.loops import END, START, TEST
from ..tracing.program.graph import HELD, INPUT, Graph, Node, substitute
from ..tracing.program.simplify import A
from .c_source import Unwritable, Writer

MOVES = {  # operations whose result consists of numbers of the operands
    A.alias, A.cat, A.clone, A.detach, A.diagonal, A.expand, A.flip, A.gather, A.index, A.index_select, A.permute,
    A.repeat, A.reshape, A.roll, A.select, A.select_scatter, A.slice, A.slice_scatter, A.split, A.split_with_sizes,
    A.squeeze, A.stack, A.t, A.transpose, A.unbind, A.unbind_copy, A.unsqueeze, A.view,
}  # fmt: skip
INDICES = {  # operations that look up numbers, and which argument holds the places: these must be constant
    A.gather: 2, A.index: 1, A.index_put: 1, A.index_select: 2, A.scatter: 2, A.scatter_add: 2,
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


class Constant(NamedTuple):
    """The value of an operation that depends on no input."""

    value: Any


def write(g: Graph, writer: Writer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Append the lines of ``g`` to ``writer``. ``inputs`` and the result are places. Raises Unwritable."""
    late = g.reached_from(node for node in g.live() if node.op is INPUT or _mark(node) == START)
    known: dict[Node, Any] = {}

    def places(node: Node) -> Any:
        found = known[node]
        return writer.held(found.value.cpu()) if isinstance(found, Constant) else found

    def constant(node: Node) -> Any:
        if not isinstance(known[node], Constant):
            raise Unwritable("it looks up numbers at places that it computes")
        return known[node].value

    for node in _in_order(g):
        if node.op is INPUT:
            known[node] = inputs[node.args[0]]
        elif node.op is HELD:
            known[node] = Constant(node.args[0].detach())
        elif node not in late and _mark(node) != TEST:
            known[node] = Constant(node.op(*substitute(node.args, constant), **node.kwargs))
        else:
            index = None if node.op is operator.getitem else INDICES.get(node.op.overloadpacket)
            args = [substitute(x, constant if k == index else places) for k, x in enumerate(node.args)]
            known[node] = _node(node, writer, tuple(args))
    return [places(node) for node in g.outputs]


def _in_order(g: Graph) -> list[Node]:
    """The live nodes of ``g`` in order, but those in a loop that do not depend on its state come before it."""
    order = g.live()
    for start in [node for node in order if _mark(node) == START]:
        loop, inside = start.args[1], g.reached_from([start])
        i = order.index(start)
        j = next(k for k, node in enumerate(order) if _mark(node) == END and node.args[2] == loop)
        late = [node in inside or (_mark(node) == TEST and node.args[1] == loop) for node in order[i:j]]
        body = list(zip(order[i:j], late, strict=True))
        order[i:j] = [node for node, is_late in body if not is_late] + [node for node, is_late in body if is_late]
    return order


def _mark(node: Node) -> str:
    """The name of the mark of a loop that ``node`` is; "" if it is none."""
    return node.op.name() if isinstance(node.op, torch._ops.OpOverload) and node.op.name() in LOOPS else ""


def _node(node: Node, w: Writer, args: tuple[Any, ...]) -> Any:
    if node.op is operator.getitem:
        if args[0][args[1]] is None:
            raise Unwritable(f"it uses result {args[1]} of {node.args[0].op}")
        return args[0][args[1]]
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
    if _mark(node):
        return LOOPS[node.op.name()](w, node, args)
    if (several := SEVERAL.get(packet)) is not None:
        return several(w, node, args)
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
    packet, x, given = node.op.overloadpacket, args[0], args[1] if len(args) > 1 and args[1] is not None else ()
    given = (given,) if isinstance(given, int) else given
    dims = [d % max(x.dim(), 1) for d in given] or list(range(x.dim()))
    kept = [d for d in range(x.dim()) if d not in dims]
    count = math.prod(x.shape[d] for d in dims)
    rows = x.permute(*kept, *dims).reshape(-1, count) if x.dim() else x.reshape(1, 1)
    suffix = f" / {w.name(w.literal(count, dtype), dtype)}" if packet is A.mean else ""
    return w.fold("||" if packet is A.any else "+", dtype, rows, suffix).reshape(node.meta.shape)


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


def _not(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    return w.apply("!{0}" if dtype == torch.bool else "~{0}", dtype, dtype, args)


def _index_put(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    x, values, add = args[0], args[2], len(args) > 3 and args[3]
    return _put(w, x, A.index.Tensor(_numbered(x), args[1]), values, dtype, add)


def _scatter(w: Writer, node: Node, args: Any, dtype: torch.dtype) -> Tensor:
    if node.kwargs or not isinstance(args[3], Tensor):
        raise Unwritable(f"it uses {node.op} of a number, or with {', '.join(node.kwargs)}")
    values = args[3][tuple(slice(n) for n in args[2].shape)]
    targets = _numbered(args[0]).gather(args[1], args[2])
    return _put(w, args[0], targets, values, dtype, node.op is A.scatter_add.default)


def _numbered(x: Tensor) -> Tensor:
    return torch.arange(x.numel()).reshape(x.shape)


def _put(w: Writer, x: Tensor, targets: Tensor, values: Tensor, dtype: torch.dtype, add: bool) -> Tensor:
    """``x`` with ``values`` put, or added, at the elements with the numbers ``targets``, one after another."""
    found = x.flatten().tolist()
    for k, value in zip(targets.flatten().tolist(), values.expand_as(targets).flatten().tolist(), strict=True):
        found[k] = w.line(dtype, f"{w.name(found[k], dtype)} + {w.name(value, dtype)}") if add else value
    return torch.tensor(found, dtype=torch.int64).reshape(x.shape)


def _solved(w: Writer, node: Node, args: Any) -> Any:
    """The solution of A X = B (or X A = B), and the number of the first pivot that is 0; not the factors."""
    A_, B = args[:2]
    vector = B.dim() == 1 or B.shape == A_.shape[:-1]
    B = B.unsqueeze(-1) if vector else B
    if not node.kwargs.get("left", True):
        A_, B = A_.mT, B.mT
    batch = torch.broadcast_shapes(A_.shape[:-2], B.shape[:-2])
    x, info = w.solve(node.meta[0].dtype, A_.expand(*batch, *A_.shape[-2:]), B.expand(*batch, *B.shape[-2:]))
    x = x if node.kwargs.get("left", True) else x.mT
    return x.squeeze(-1) if vector else x, None, None, info


def _inverse(w: Writer, node: Node, args: Any) -> Any:
    dtype, A_ = node.meta[0].dtype, args[0]
    return w.solve(dtype, A_, w.held(torch.eye(A_.shape[-1], dtype=dtype)).expand_as(A_))


def _checked(w: Writer, node: Node, args: Any) -> None:
    w.failures += args[0].flatten().tolist()


def _loop_start(w: Writer, node: Node, args: Any) -> list[Tensor]:
    return w.begin_loop(args[1], [x.meta.dtype for x in node.args[0]], args[0])


def _loop_test(w: Writer, node: Node, args: Any) -> None:
    w.test_loop(args[1], args[0], args[2])


def _loop_end(w: Writer, node: Node, args: Any) -> list[Tensor]:
    after, inside, _ = args
    w.end_loop([x.meta.dtype for x in node.args[0]], inside, after)
    return list(inside)


LOOPS: dict[str, Callable[[Writer, Node, Any], Any]] = {START: _loop_start, TEST: _loop_test, END: _loop_end}

# Operations with several results, or with none.
SEVERAL = {A._linalg_solve_ex: _solved, A.linalg_inv_ex: _inverse, A._linalg_check_errors: _checked}

RULES: dict[Any, Written] = {
    A.pow: _power, A.remainder: _remainder, A._to_copy: _cast, A.where: _where, A.clamp: _clamp, A.sum: _reduced,
    A.mean: _reduced, A.any: _reduced, A.bitwise_not: _not, A.index_put: _index_put, A.scatter: _scatter,
    A.scatter_add: _scatter, A.linalg_vector_norm: _norm, A.addcmul: _addcmul,
    **dict.fromkeys((A.mm, A.bmm, A.mv, A.dot, A.addmm, A.baddbmm), _matrices),
}  # fmt: skip
