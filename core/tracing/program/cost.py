"""What a program costs, roughly: to choose between two that do the same."""

from __future__ import annotations

from typing import Any

from .graph import INPUT, Graph, Meta, Node
from .simplify import A

USES = 8  # of what depends on tangents, for each pass through the point: an inner solve's products
CALL = 20_000  # multiplications in the time that any operation takes
MOVE = 8  # and in the time that an element is read and written


def work(g: Graph, tangents: set[int]) -> float:
    """Multiplications of one pass through the point and of ``USES`` products; ``tangents`` are the inputs of these."""
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
    """The weight is applied at every sample and place of the side that the kernel moves over."""
    return where.numel // where.shape[1] * weight.meta.numel


_COUNTS: dict[Any, Any] = {
    A.mm.default: _matrices, A.addmm.default: _matrices, A.bmm.default: _matrices, A.baddbmm.default: _matrices,
    A.convolution.default: _convolution, A.convolution_backward.default: _convolution_backward,
}  # fmt: skip
