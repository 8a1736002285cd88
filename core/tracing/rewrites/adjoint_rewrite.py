"""A chain of linear layers that ends in one number for each sample is computed from its other end.

For each sample, y = <w, L_n ... L_1 t> takes a pass through the layers for each tangent t. Written as
<L_1' ... L_n' w, t> it takes one pass through the adjoints for all tangents, which the gradient has taken anyway. So
the derivative of a discriminator's output along its own parameters needs no further pass through the layers.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain

from ..program.graph import NOTHING, Graph, Node, substitute
from ..program.simplify import A, expand, simplify
from .samplewise import added, adjoint, has_adjoint, inner, matmul, reshaped, summed, transposed


def from_the_other_end(old: Graph, late: set[Node]) -> Graph:
    """The same program with such chains computed from the other end; ``late`` nodes depend on a tangent."""
    new = Graph(simplify)
    known: dict[Node, Node] = {}
    readers = Counter(chain(old.outputs, *(node.operands() for node in old.live())))

    def dot(k: Node, z: Node) -> Node:
        """<k, z> for each sample, (B, 1): go back along the chain that ends in ``z``, as long as it has one reader."""
        if z not in late or readers[z] > 1 or z.meta.shape != k.meta.shape:
            return inner(new, k, known[z])
        if z.op is A.add.Tensor and not z.kwargs and all(isinstance(x, Node) for x in z.args):
            return added(new, dot(k, z.args[0]), dot(k, z.args[1]))
        if z.op is A.addmm.default and not z.kwargs:
            c, a, b = z.args
            return added(new, dot(k, c), dot(matmul(new, k, transposed(new, known[b])), a))
        if z.op is A.convolution.default and z.args[2] is not None:
            linear = Node(z.op, (*z.args[:2], None, *z.args[3:]), NOTHING, z.meta)
            room = reshaped(new, summed(new, k, tuple(range(2, len(k.meta.shape)))), k.meta.shape[:2])
            bias = matmul(new, room, reshaped(new, known[z.args[2]], (k.meta.shape[1], 1)))
            return added(new, bias, before(k, linear))
        if z.op is A.mul.Tensor and z.args[0] not in late:
            z = Node(z.op, z.args[::-1], z.kwargs, z.meta)
        return before(k, z) if has_adjoint(z) else inner(new, k, known[z])

    def before(k: Node, z: Node) -> Node:
        return dot(adjoint(new, z, k, substitute(z.args[1:], known.__getitem__)), z.args[0])

    for node in old.in_order():
        *c, z, w = node.args if node.op in (A.mm.default, A.addmm.default) and not node.kwargs else (None, None)
        if z in late and w not in late and readers[z] == 1 and node.meta.shape[1] == 1 < z.meta.shape[1]:
            y = dot(expand(new, transposed(new, known[w]), z.meta), z)
            known[node] = added(new, y, known[c[0]]) if c else y
        else:
            known[node] = new.again(node, known)
    return new.ending_as(old, known)
