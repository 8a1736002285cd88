"""Operations that are linear in their first operand and treat the samples of a batch, its first axis, independently.

They commute with a factor that has one number for each sample, and their adjoints are such operations again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from ..program.graph import NOTHING, Graph, Meta, Node
from ..program.simplify import A, conv_input_grad

# Products, element by element, with something that does not depend on the first operand.
ELEMENTWISE = {A.leaky_relu_backward.default, A.threshold_backward.default, A.tanh_backward.default}
ELEMENTWISE |= {A.sigmoid_backward.default, A.softplus_backward.default, A.gelu_backward.default}
ELEMENTWISE |= {A.silu_backward.default, A.elu_backward.default, A.hardtanh_backward.default}
ELEMENTWISE |= {A.mul.Tensor, A.div.Tensor, A.mul.Scalar, A.div.Scalar, A.neg.default}


# Derivatives of poolings, by their outputs.
POOLED = {A.max_pool2d_with_indices_backward.default, A.avg_pool2d_backward.default}
POOLED |= {A.upsample_nearest2d_backward.default, A._adaptive_avg_pool2d_backward.default}


def is_linear(node: Node) -> bool:
    """Whether ``node`` is such an operation."""
    if node.kwargs or not (node.args and isinstance(node.args[0], Node) and isinstance(node.meta, Meta)):
        return False
    x, y = node.args[0].meta, node.meta
    if not isinstance(x, Meta) or x[1:] != y[1:] or not x.shape or x.shape[:1] != y.shape[:1]:
        return False
    if (fits := _FITS.get(node.op)) is not None:
        return fits(node, len(x.shape))
    return node.op in POOLED or (node.op in ELEMENTWISE and x.shape == y.shape)


_FITS: dict[Any, Callable[[Node, int], bool]] = {
    A.convolution.default: lambda node, axes: node.args[2] is None,
    A.mm.default: lambda node, axes: True,
    A.reshape.default: lambda node, axes: True,
    A.constant_pad_nd.default: lambda node, axes: len(node.args[1]) < 2 * axes and not any(node.args[2:]),
    A.slice.Tensor: lambda node, axes: len(node.args) > 1 and node.args[1] % axes > 0,
    A.slice_backward.default: lambda node, axes: node.args[2] % axes > 0,
}


def has_adjoint(node: Node) -> bool:
    """Whether ``node`` is such an operation, and :func:`adjoint` knows its adjoint."""
    return is_linear(node) and node.op not in POOLED


_WHOLE = (0, 0, 2**63 - 1, 1)  # axis, start, end and step of a slice that names none


def adjoint(g: Graph, node: Node, k: Node, others: tuple[Any, ...]) -> Node:
    """The adjoint of ``node`` (as a map of its first operand) applied to ``k``; ``others`` are its other arguments."""
    here = node.args[0].meta
    if node.op is A.convolution.default:
        return conv_input_grad(g, k, others[0], others[2:], here)
    if node.op is A.mm.default:
        return matmul(g, k, transposed(g, others[0]))
    if node.op is A.reshape.default:
        return reshaped(g, k, here.shape)
    if node.op is A.constant_pad_nd.default:
        return g.emit(node.op, (k, tuple(-n for n in others[0])), NOTHING, here)
    if node.op is A.slice.Tensor:
        where = (x if x is not None else all for x, all in zip_longest(others, _WHOLE))
        return g.emit(A.slice_backward.default, (k, here.shape, *where), NOTHING, here)
    if node.op is A.slice_backward.default:
        return g.emit(A.slice.Tensor, (k, *others[1:]), NOTHING, here)
    return g.emit(node.op, (k, *others), NOTHING, here)


def matmul(g: Graph, a: Node, b: Node) -> Node:
    """The product of two matrices."""
    return g.emit(A.mm.default, (a, b), NOTHING, a.meta._replace(shape=(a.meta.shape[0], b.meta.shape[1])))


def transposed(g: Graph, x: Node) -> Node:
    """The transpose of a matrix."""
    return g.emit(A.permute.default, (x, (1, 0)), NOTHING, x.meta._replace(shape=x.meta.shape[::-1]))


def reshaped(g: Graph, x: Node, shape: tuple[int, ...]) -> Node:
    """``x`` in another shape."""
    return g.emit(A.reshape.default, (x, shape), NOTHING, x.meta._replace(shape=shape))


def summed(g: Graph, x: Node, axes: tuple[int, ...]) -> Node:
    """The sum over ``axes``, which are kept with length 1."""
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.meta.shape))
    return g.emit(A.sum.dim_IntList, (x, axes, True), NOTHING, x.meta._replace(shape=shape)) if axes else x


def added(g: Graph, x: Node, y: Node) -> Node:
    """The sum of two nodes of one shape."""
    return g.emit(A.add.Tensor, (x, y), NOTHING, x.meta)


def scaled(g: Graph, x: Node, scale: Node) -> Node:
    """``x`` (B, ...) times ``scale`` (B, 1), which has one number for each sample."""
    fit = reshaped(g, scale, (scale.meta.shape[0], *(1 for _ in x.meta.shape[1:])))
    return g.emit(A.mul.Tensor, (x, fit), NOTHING, x.meta)


def inner(g: Graph, k: Node, x: Node) -> Node:
    """<k, x> for each sample, (B, 1); ``x`` may be broadcast."""
    product = g.emit(A.mul.Tensor, (k, x), NOTHING, k.meta)
    return reshaped(g, summed(g, product, tuple(range(1, len(k.meta.shape)))), (k.meta.shape[0], 1))
