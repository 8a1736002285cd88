"""Rules that simplify a traced program and hold for every input.

Derivatives taken in Python leave aliases, cotangents that are zero or one everywhere, sums that are broadcast back to
full size, and repeated operations. A structural zero times anything is zero, as in a derivative written by hand.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .graph import NOTHING, Graph, Meta, Node, substitute

A = torch.ops.aten

SAME = {A.alias.default, A.alias_copy.default, A.detach.default, A.detach_copy.default, A.lift_fresh.default}
SAME |= {A.lift_fresh_copy.default, A.clone.default}  # nothing mutates, so a copy is as good as the original
ELEMENTWISE = {A.add.Tensor, A.sub.Tensor, A.mul.Tensor, A.div.Tensor, A.mul.Scalar, A.div.Scalar, A.neg.default}
BILINEAR = {A.mul.Tensor, A.mm.default, A.bmm.default, A.mv.default, A.dot.default}
FILLS = {A.zeros.default: 0.0, A.zeros_like.default: 0.0, A.new_zeros.default: 0.0, A._efficientzerotensor.default: 0.0}
FILLS |= {A.ones.default: 1.0, A.ones_like.default: 1.0, A.new_ones.default: 1.0}
# Linear in the first argument, as is every operation whose first argument is called grad.
LINEAR = {A.neg.default, A.mul.Scalar, A.div.Scalar, A.div.Tensor, A.sum.default, A.sum.dim_IntList, A.mean.default}
LINEAR |= {A.mean.dim, A._to_copy.default, A.cumsum.default, A.index.Tensor, A.gather.default}
# Operations whose result consists of numbers of the operand.
PICKS = {A.t.default, A.transpose.int, A.permute.default, A.unsqueeze.default, A.squeeze.default, A.squeeze.dim}
PICKS |= {A.squeeze.dims, A.select.int, A.slice.Tensor, A.expand.default, A.reshape.default, A.diagonal.default}
PICKS |= {A.flip.default}
GRADS = {"grad", "grad_output", "grad_out"}


def simplify(g: Graph, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], meta: Any) -> Node | None:
    """The node that can replace ``op(*args)``, or None. A :data:`counterplay.core.tracing.program.graph.Rule`."""
    if (view := _VIEWS.get(op)) is not None:
        return g.emit(view, args, kwargs, meta)
    if op in FILLS and meta.dtype.is_floating_point:
        return fill(g, FILLS[op], meta)
    if not args or not isinstance(args[0], Node):
        return None
    x = args[0]
    if op in SAME or (op is A._to_copy.default and x.meta == meta):
        return x
    if (zero := _zero(g, op, args, kwargs, meta)) is not None:
        return zero
    if op in PICKS and x.op is A.full.default:
        return fill(g, x.args[1], meta)
    if op in _SHAPES:
        return _SHAPES[op](g, x, args, meta)
    if op is operator.getitem and args[1] == 0 and meta is not None and x.op is A.convolution_backward.default:
        return conv_input_grad(g, x.args[0], x.args[2], x.args[4:10], meta)
    if op is A.sum.dim_IntList and x.op is A.neg.default:  # negate the sum, which is smaller
        return g.emit(A.neg.default, (g.emit(op, (x.args[0], *args[1:]), kwargs, meta),), NOTHING, meta)
    if op is A.add.Tensor and not kwargs and x.op is A.add.Tensor and x.args[1] is args[1] and not x.kwargs:
        return g.emit(op, x.args, {"alpha": 2}, meta)
    if op in ELEMENTWISE:
        return _elementwise(g, op, args, kwargs, meta)
    return None


def fill(g: Graph, value: float, meta: Meta) -> Node:
    """A tensor that is ``value`` everywhere."""
    return g.emit(A.full.default, (meta.shape, value), {"dtype": meta.dtype, "device": meta.device}, meta)


def is_fill(x: Any, value: float) -> bool:
    """Whether ``x`` is known to be ``value`` everywhere."""
    return isinstance(x, Node) and x.op is A.full.default and x.args[1] == value


def expand(g: Graph, x: Node, meta: Meta) -> Node:
    """``x`` broadcast to the shape of ``meta``."""
    return g.emit(A.expand.default, (x, meta.shape), NOTHING, meta)


def conv_input_grad(g: Graph, k: Node, weight: Node, how: tuple[Any, ...], here: Meta) -> Node:
    """The gradient of a convolution by its input, which has the Meta ``here``, from the gradient ``k`` of its output.

    It is a transposed convolution. ``how`` is (stride, padding, dilation, transposed, output padding, groups).
    """
    stride, padding, dilation, transposed, _, groups = how
    axes = len(here.shape) - 2
    stride, padding, dilation = (tuple(p) * (axes if len(p) == 1 else 1) for p in (stride, padding, dilation))
    extra = (0,) * axes
    if not transposed:
        sizes = zip(here.shape[2:], k.meta.shape[2:], weight.meta.shape[2:], stride, padding, dilation, strict=True)
        extra = tuple(n - ((m - 1) * s - 2 * p + d * (w - 1) + 1) for n, m, w, s, p, d in sizes)
    args = (k, weight, None, stride, padding, dilation, not transposed, extra, groups)
    return g.emit(A.convolution.default, args, NOTHING, here)


# ---------------------------------------------------------------------------------------------------- zeros


def _zero(g: Graph, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], meta: Any) -> Node | None:
    x = args[0]
    if op is operator.getitem:
        return _zero_item(g, x, args[1], meta)
    if not isinstance(meta, Meta) or not meta.dtype.is_floating_point:
        return None
    zeros = [is_fill(a, 0.0) for a in args]
    linear = zeros[0] and (op in LINEAR or op in PICKS or _grad_first(op))
    bilinear = op in BILINEAR and any(zeros[:2])
    convolution = op is A.convolution.default and any(zeros[:2]) and (args[2] is None or zeros[2])
    parts = args[0] if op is A.cat.default else args[1:3] if op is A.where.self else (None,)
    if linear or bilinear or convolution or all(is_fill(p, 0.0) for p in parts):
        return fill(g, 0.0, meta)
    if op in (A.add.Tensor, A.sub.Tensor) and any(zeros[:2]) and kwargs.get("alpha", 1) == 1:
        other = args[1] if zeros[0] else x
        if isinstance(other, Node) and other.meta.dtype == meta.dtype and other.meta.device == meta.device:
            other = expand(g, other, meta)
            return g.emit(A.neg.default, (other,), NOTHING, meta) if zeros[0] and op is A.sub.Tensor else other
    if op in (A.addmm.default, A.baddbmm.default) and any(zeros[1:3]) and not kwargs:
        return expand(g, x, meta)
    return None


def _zero_item(g: Graph, x: Node, i: int, meta: Any) -> Node | None:
    """Result i of an operation with several results, if it is zero."""
    if not isinstance(meta, Meta) or not meta.dtype.is_floating_point or not x.args:
        return None
    reads = {0: (0, 2), 1: (0, 1), 2: (0,)}[i] if x.op is A.convolution_backward.default else (0,)
    if x.op is A.convolution_backward.default or _grad_first(x.op):
        return fill(g, 0.0, meta) if any(is_fill(x.args[k], 0.0) for k in reads) else None
    return None


def _grad_first(op: Any) -> bool:
    """Whether ``op`` is the backward of an operation, and so linear in the gradient that is its first argument."""
    return "backward" in str(op) and op._schema.arguments[0].name in GRADS


# ---------------------------------------------------------------------------------------------------- shapes


def _reshape(g: Graph, x: Node, args: tuple[Any, ...], meta: Meta) -> Node | None:
    if x.meta.shape == meta.shape:
        return x
    if x.op is A.reshape.default:
        return g.emit(A.reshape.default, (x.args[0], meta.shape), NOTHING, meta)
    return None if args[1] == meta.shape else g.emit(A.reshape.default, (x, meta.shape), NOTHING, meta)


def _expand(g: Graph, x: Node, args: tuple[Any, ...], meta: Meta) -> Node | None:
    if x.meta.shape == meta.shape:
        return x
    if x.op is A.expand.default:
        return g.emit(A.expand.default, (x.args[0], meta.shape), NOTHING, meta)
    return None if args[1] == meta.shape else g.emit(A.expand.default, (x, meta.shape), NOTHING, meta)


def _turn(g: Graph, x: Node, args: tuple[Any, ...], meta: Meta) -> Node | None:
    order = _order(A.t.default if len(args) == 1 else A.transpose.int if len(args) == 3 else A.permute.default, args)
    if order == tuple(range(len(order))):
        return x
    if x.op is A.permute.default:  # two permutations are one
        return g.emit(A.permute.default, (x.args[0], tuple(x.args[1][k] for k in order)), NOTHING, meta)
    canonical = (x, order)
    return None if args == canonical else g.emit(A.permute.default, canonical, NOTHING, meta)


def _order(op: Any, args: tuple[Any, ...]) -> tuple[int, ...]:
    n = len(args[0].meta.shape)
    order = list(range(n))
    if op is A.permute.default:
        return tuple(k % n for k in args[1])
    i, j = (0, n - 1) if op is A.t.default else (args[1], args[2])
    if n:
        order[i], order[j] = order[j], order[i]
    return tuple(order)


_SHAPES: dict[Any, Callable[[Graph, Node, tuple[Any, ...], Meta], Node | None]]
_SHAPES = {A.reshape.default: _reshape, A.expand.default: _expand, A.permute.default: _turn}
_SHAPES |= {A.t.default: _turn, A.transpose.int: _turn}

# Functionalised programs have copies of views. As nothing mutates, a view is enough.
_VIEWS = {A.view_copy.default: A.reshape.default, A.view.default: A.reshape.default, A.t_copy.default: A.t.default}
_VIEWS |= {A._unsafe_view.default: A.reshape.default, A.expand_copy.default: A.expand.default}
_VIEWS |= {A.permute_copy.default: A.permute.default, A.transpose_copy.int: A.transpose.int}
_VIEWS |= {A.select_copy.int: A.select.int, A.slice_copy.Tensor: A.slice.Tensor, A.squeeze_copy.dim: A.squeeze.dim}
_VIEWS |= {A.squeeze_copy.default: A.squeeze.default, A.squeeze_copy.dims: A.squeeze.dims}
_VIEWS |= {A.unsqueeze_copy.default: A.unsqueeze.default, A.diagonal_copy.default: A.diagonal.default}


# ---------------------------------------------------------------------------------------------------- broadcasts


def _elementwise(g: Graph, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], meta: Meta) -> Node | None:
    """Do arithmetic before its operand is broadcast, or let the arithmetic broadcast it."""
    nodes = [a for a in args if isinstance(a, Node)]
    if not meta.dtype.is_floating_point or any(a.meta[1:] != meta[1:] for a in nodes):
        return None  # a tensor without dimensions promotes dtypes differently
    if all(a.op is A.full.default for a in nodes):  # compute it now, in the same dtype
        numbers = substitute(args, lambda a: torch.tensor(a.args[1], dtype=meta.dtype))
        return fill(g, op(*numbers, **kwargs).item(), meta)
    if op in (A.mul.Tensor, A.div.Tensor) and is_fill(args[1], 1.0):
        return expand(g, nodes[0], meta)
    if op is A.mul.Tensor and is_fill(args[0], 1.0) and len(nodes) == 2:
        return expand(g, nodes[1], meta)
    thin = tuple(_thin(g, a) if isinstance(a, Node) else a for a in args)
    if thin == args:
        return None
    shape = tuple(torch.broadcast_shapes(*(a.meta.shape for a in thin if isinstance(a, Node))))
    return expand(g, g.emit(op, thin, kwargs, meta._replace(shape=shape)), meta)


def _thin(g: Graph, x: Node) -> Node:
    if x.op is A.full.default and x.meta.shape:
        return fill(g, x.args[1], x.meta._replace(shape=()))
    return x.args[0] if x.op is A.expand.default else x
