"""A rough cost of a program, to choose between two programs that compute the same."""

from __future__ import annotations

from typing import Any

from .graph import INPUT, Graph, Meta, Node
from .simplify import A

USES = 8  # runs with new tangents for each pass through the point: the products of an inner solve
CALL = 20_000  # multiplications that take as long as the call of an operation
MOVE = 8  # multiplications that take as long as reading and writing an element


def work(g: Graph, tangents: set[int]) -> float:
    """The cost, in multiplications, of one pass through the point and ``USES`` runs with new ``tangents``."""
    late = g.late(tangents)
    return sum(_own(node) * (USES if node in late else 1) for node in g.live() if node.op is not INPUT)


def _own(node: Node) -> float:
    results = [node.meta] if isinstance(node.meta, Meta) else node.meta or []
    elements = sum(m.numel for m in results if isinstance(m, Meta))
    count = _COUNTS.get(node.op)
    return CALL + MOVE * elements + (count(node) if count else 0)


def _matrices(node: Node) -> float:
    a, b = node.args[-2:]
    return a.meta.numel * b.meta.shape[-1]


def _convolution(node: Node) -> float:
    x, weight, transposed = node.args[0], node.args[1], node.args[6]
    return _each(x.meta if transposed else node.meta, weight)


def _convolution_backward(node: Node) -> float:
    sent, x, weight, transposed, mask = node.args[0], node.args[1], node.args[2], node.args[7], node.args[10]
    return sum(mask[:2]) * _each(x.meta if transposed else sent.meta, weight)


def _each(where: Meta, weight: Node) -> float:
    """Multiplications of a convolution: the weight is applied for every sample at every position of the kernel."""
    return where.numel // where.shape[1] * weight.meta.numel


_COUNTS: dict[Any, Any] = {
    A.mm.default: _matrices, A.addmm.default: _matrices, A.bmm.default: _matrices, A.baddbmm.default: _matrices,
    A.convolution.default: _convolution, A.convolution_backward.default: _convolution_backward,
}  # fmt: skip
