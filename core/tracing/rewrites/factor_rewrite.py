"""A factor with one number for each sample is taken out of the products that it occurs in.

In a network whose output is one number for each sample, the gradient at every layer is the derivative of the output
times the derivative of the loss by the output. So the gradients of several losses, or of a loss and its tangent, differ
only by such a factor, as long as the layers between have no tangents: they are computed once. In weight gradients the
factor is moved to the layer's input, where several terms become one: sum_k (s_k a)' x_k = a' sum_k s_k x_k.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from typing import Any

from ..program.graph import INPUT, NOTHING, Graph, Node, substitute
from ..program.simplify import A, expand, simplify
from .adjoint_rewrite import from_the_other_end
from .samplewise import added, is_linear, matmul, reshaped, scaled, summed, transposed

LEFT, RIGHT = ("left",), ("right",)  # whether the gradient of the output is the first factor of a weight gradient


@dataclass
class _Sum:
    """sum_k scale_k base_k + rest, for each sample. A base does not depend on tangents; a scale (B, 1) may."""

    terms: dict[Node, Node] = field(default_factory=dict)
    rest: Node | None = None


Weight = dict[tuple[Node, tuple[Any, ...]], Node]
"""A weight gradient: (gradient of the output, other arguments of the operation) -> the layer's input."""


def rewritten(g: Graph, tangents: set[int]) -> Graph:
    """The same program after both rewrites: `adjoint_rewrite.from_the_other_end`, then `factored`."""
    return factored(from_the_other_end(g, g.late(tangents)), tangents)


def factored(old: Graph, tangents: set[int]) -> Graph:
    """The same program with such factors taken out; ``tangents`` are the inputs that change from run to run."""
    return _Factored(old, tangents).g


class _Factored(dict[Node, Node]):
    """Maps the nodes of the old program to new ones. Nodes kept as a sum or a weight are written when they are used."""

    def __init__(self, old: Graph, tangents: set[int]) -> None:
        self.g, self.tangents = Graph(simplify), tangents
        self.sums: dict[Node, _Sum] = {}
        self.weights: dict[Node, Weight] = {}
        self.late: set[Node] = set()
        self.seen = 0
        for node in old.in_order():
            if (found := self._sum(node)) is not None:
                self.sums[node] = found
            elif (weight := self._weight(node)) is not None:
                self.weights[node] = weight
            else:
                self[node] = self._over_samples(node) or self.g.again(node, self)
        self.g.ending_as(old, self)

    def __missing__(self, node: Node) -> Node:
        if (held := self.sums.get(node)) is not None:
            parts = [scaled(self.g, base, scale) for base, scale in held.terms.items()]
            parts += [] if held.rest is None else [held.rest]
        else:
            parts = [self._product(node.meta, *key, x) for key, x in self.weights[node].items()]
        self[node] = self._added(parts)
        return self[node]

    def _is_late(self, node: Node) -> bool:
        for x in islice(self.g.nodes, self.seen, None):
            if (x.op is INPUT and x.args[0] in self.tangents) or any(y in self.late for y in x.operands()):
                self.late.add(x)
        self.seen = len(self.g.nodes)
        return node in self.late

    # ------------------------------------------------------------------------------------------------ sums

    def _sum(self, node: Node) -> _Sum | None:
        if node.kwargs or not node.args:
            return None
        if node.op is A.mm.default:
            a, b = node.args
            if a.meta.shape[1] == 1 < min(node.meta.shape) and not self._is_late(self[b]):
                return _Sum({expand(self.g, self[b], node.meta): self[a]})
        if node.op is A.addmm.default and node.args[0] in self.sums:
            return self._joined(node.args[0], Node(A.mm.default, node.args[1:], NOTHING, node.meta))
        if node.op is A.add.Tensor and any(x in self.sums for x in node.args):
            if all(isinstance(x, Node) and x.meta == node.meta for x in node.args):
                return self._joined(*node.args)
            return None
        if node.op is A.mul.Tensor and node.args[0] not in self.sums:
            node = Node(node.op, node.args[::-1], node.kwargs, node.meta)
        return self._mapped(node) if node.args[0] in self.sums and is_linear(node) else None

    def _joined(self, *nodes: Node) -> _Sum:
        found = _Sum()
        for node in nodes:
            held = self.sums.get(node) or self._sum(node) or _Sum(rest=self.get(node) or self.g.again(node, self))
            for base, scale in held.terms.items():
                self._put(found, base, scale)
            self._rest(found, held.rest)
        return found

    def _mapped(self, node: Node) -> _Sum:
        """A linear operation of a sum, term by term."""
        held, found = self.sums[node.args[0]], _Sum()
        others = substitute(node.args[1:], self.__getitem__)
        for base, scale in held.terms.items():
            self._put(found, self.g.emit(node.op, (base, *others), NOTHING, node.meta), scale)
        if held.rest is not None:
            self._rest(found, self.g.emit(node.op, (held.rest, *others), NOTHING, node.meta))
        return found

    def _put(self, to: _Sum, base: Node, scale: Node) -> None:
        if self._is_late(base):
            self._rest(to, scaled(self.g, base, scale))
        elif base in to.terms:
            to.terms[base] = added(self.g, to.terms[base], scale)
        elif (same := next((x for x, its in to.terms.items() if its is scale), None)) is not None:
            self._put(to, added(self.g, same, base), to.terms.pop(same))  # as on two ways past a layer
        else:
            to.terms[base] = scale

    def _rest(self, to: _Sum, rest: Node | None) -> None:
        if rest is not None:
            to.rest = rest if to.rest is None else added(self.g, to.rest, rest)

    # ------------------------------------------------------------------------------------------------ over the batch

    def _terms(self, x: Any) -> dict[Node, Node] | None:
        """The terms of a sum without a rest. With a rest, which must be multiplied too, one product is cheaper."""
        held = self.sums.get(x) if isinstance(x, Node) else None
        return held.terms if held is not None and held.rest is None else None

    def _weight(self, node: Node) -> Weight | None:
        if node.op is A.mm.default and not node.kwargs:
            a, b = node.args
            if a.op is A.permute.default and (terms := self._terms(a.args[0])):
                return {(base, LEFT): scaled(self.g, self[b], scale) for base, scale in terms.items()}
            if a.op is A.permute.default and (terms := self._terms(b)):
                x = transposed(self.g, self[a])
                return {(base, RIGHT): scaled(self.g, x, scale) for base, scale in terms.items()}
        if node.op is operator.getitem and node.args[1] == 1 and node.args[0].op is A.convolution_backward.default:
            sent, x, *how = node.args[0].args
            if terms := self._terms(sent):
                key = (*substitute(tuple(how[:-1]), self.__getitem__), (False, True, False))
                return {(base, key): scaled(self.g, self[x], scale) for base, scale in terms.items()}
        if node.op is A.add.Tensor and not node.kwargs and all(x in self.weights for x in node.args):
            one, two = (self.weights[x] for x in node.args)
            return one | {key: added(self.g, one[key], x) if key in one else x for key, x in two.items()}
        return None

    def _product(self, meta: Any, base: Node, how: tuple[Any, ...], x: Node) -> Node:
        if how in (LEFT, RIGHT):
            a, b = (base, x) if how is LEFT else (x, base)
            return matmul(self.g, transposed(self.g, a), b)
        both = self.g.emit(A.convolution_backward.default, (base, x, *how), NOTHING, (None, meta, None))
        return self.g.emit(operator.getitem, (both, 1), NOTHING, meta)

    def _over_samples(self, node: Node) -> Node | None:
        """A sum over the batch and perhaps over other axes; the sums over the other axes are computed once."""
        x: Any = None
        axes: tuple[int, ...] = ()
        if node.op is A.sum.dim_IntList:
            x, axes = node.args[0], tuple(node.args[1])
        elif node.op is operator.getitem and node.args[1] == 2 and node.args[0].op is A.convolution_backward.default:
            x = node.args[0].args[0]
            axes = (0, *range(2, len(x.meta.shape)))
        terms = self._terms(x)
        if not terms or 0 not in axes or x.meta.dtype != node.meta.dtype:
            return None
        parts = []
        for base, scale in terms.items():
            inside = summed(self.g, base, tuple(k for k in axes if k))
            samples = base.meta.shape[0]
            flat = reshaped(self.g, inside, (samples, inside.meta.numel // samples))
            parts.append(matmul(self.g, transposed(self.g, scale), flat))
        return reshaped(self.g, self._added(parts), node.meta.shape)

    def _added(self, parts: list[Node]) -> Node:
        return reduce(lambda x, y: added(self.g, x, y), parts)
