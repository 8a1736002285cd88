"""Improvements that need the whole program, as they save work only where a result has a single reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .cost import work
from .graph import NOTHING, Graph, Node, substitute
from .simplify import A, simplify

FUSED = {A.mm.default: A.addmm.default, A.bmm.default: A.baddbmm.default}
PRODUCTS = set(FUSED) | set(FUSED.values())

Rewrite = Callable[[Graph, set[int]], Graph]
"""Makes an equal program from a program and its tangents; :func:`improve` uses it where it costs less."""


def optimize(g: Graph, tangents: set[int] | None = None, rewrite: Rewrite | None = None) -> Graph:
    """The same program without dead operations and unread gradients, and with sums of products fused.

    ``tangents`` are the inputs that change from run to run; what does not depend on them is computed once. With them,
    the program that ``rewrite`` makes is used if it costs less. They are None for a program that runs as a whole.
    """
    plain = _fused(g)
    if tangents is None or rewrite is None:
        return plain
    return min(plain, _fused(rewrite(g, tangents)), key=lambda found: work(found, tangents))


def _fused(g: Graph) -> Graph:
    for _ in range(3):  # when a reader is gone, another node may have a single reader left
        g = _again(g)
    return g


def _again(old: Graph) -> Graph:
    """Copy the live nodes of ``old``, each in its improved form if it has one."""
    new = Graph(simplify)
    known: dict[Node, Node] = {}
    readers: dict[Node, list[Node]] = {node: [] for node in old.in_order()}
    for node in readers:
        for x in node.operands():
            readers[x].append(node)
    kept = set(old.outputs)
    for node in old.in_order():
        args = substitute(node.args, known.__getitem__)
        kwargs = {name: substitute(x, known.__getitem__) for name, x in node.kwargs.items()}
        alone = [isinstance(x, Node) and len(readers[x]) == 1 and x not in kept for x in node.args]
        if node.op is A.convolution_backward.default:
            used = {reader.args[1] for reader in readers[node]}
            args = (*args[:-1], tuple(bool(wanted and i in used) for i, wanted in enumerate(args[-1])))
        better = _transposed(new, node, args, alone) or _accumulated(new, node, args, kwargs, alone)
        known[node] = better or new.emit(node.op, args, kwargs, node.meta)
    return new.ending_as(old, known)


def _transposed(g: Graph, node: Node, args: tuple[Any, ...], alone: list[bool]) -> Node | None:
    """(c + a b)' = c' + b' a': the product is computed in its final layout, so weight gradients are contiguous."""
    if node.op is not A.permute.default or not alone[0] or args[0].op not in PRODUCTS:
        return None
    n = len(node.meta.shape)
    swap = (*range(n - 2), n - 1, n - 2)
    if args[1] != swap or any(len(x.meta.shape) != n for x in args[0].args):
        return None
    *c, a, b = (
        g.emit(A.permute.default, (x, swap), NOTHING, x.meta._replace(shape=tuple(x.meta.shape[k] for k in swap)))
        for x in args[0].args
    )
    return g.emit(args[0].op, (*c, b, a), args[0].kwargs, node.meta)


def _accumulated(
    g: Graph, node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any], alone: list[bool]
) -> Node | None:
    """x + a b and x - a b in one operation, where the product has no other reader."""
    if node.op not in (A.add.Tensor, A.sub.Tensor) or len(args) != 2:
        return None
    sign = 1 if node.op is A.add.Tensor else -1
    for k in (1, 0) if sign == 1 and not kwargs else (1,):
        product, x = args[k], args[1 - k]
        if not (alone[k] and isinstance(x, Node) and x.meta == node.meta and x.meta.dtype.is_floating_point):
            continue
        factor = sign * kwargs.get("alpha", 1)
        if product.op in FUSED and product.meta == node.meta and factor == 1:
            return g.emit(FUSED[product.op], (x, *product.args), NOTHING, node.meta)
        if product.op is A.mul.Tensor and all(isinstance(y, Node) and y.meta[1:] == x.meta[1:] for y in product.args):
            return g.emit(A.addcmul.default, (x, *product.args), {"value": factor}, node.meta)
    return None
