"""Memory of a program: copies for results that must have their own, and reuse of memory that is not needed again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .graph import HELD, INPUT, Graph, Node
from .simplify import A

# Views in which no two elements share memory.
PLAIN = {A.reshape.default, A.permute.default, A.select.int, A.slice.Tensor, A.unsqueeze.default, A.diagonal.default}
PLAIN |= {A.squeeze.default, A.squeeze.dim, A.squeeze.dims}

# Operations that can write over their first operand. To allocate the result takes half the time of a large addition.
IN_PLACE: dict[Any, Callable[..., Any]] = {
    A.add.Tensor: Tensor.add_,
    A.sub.Tensor: Tensor.sub_,
    A.mul.Tensor: Tensor.mul_,
    A.div.Tensor: Tensor.div_,
    A.mul.Scalar: Tensor.mul_,
    A.div.Scalar: Tensor.div_,
    A.neg.default: Tensor.neg_,
    A.relu.default: Tensor.relu_,
    A.tanh.default: Tensor.tanh_,
    A.addcmul.default: Tensor.addcmul_,
    A.addmm.default: Tensor.addmm_,
    A.baddbmm.default: Tensor.baddbmm_,
    A.threshold_backward.default: lambda x, y, limit: A.threshold_backward.grad_input._op(x, y, limit, grad_input=x),
}
# Operations whose result is new memory in which no two elements share a place.
OWNERS = set(IN_PLACE) | {A.mm.default, A.bmm.default, A.convolution.default, A.leaky_relu_backward.default}
OWNERS |= {A.tanh_backward.default, A.sigmoid_backward.default, A.softplus_backward.default}


def viewed(node: Node) -> Node | None:
    """The node of which ``node`` may be a view; None if it has its own memory."""
    source = node.args[0] if node.op is operator.getitem else node
    looks = isinstance(source.op, torch._ops.OpOverload) and any(x.alias_info for x in source.op._schema.returns)
    return next(source.operands(), None) if looks else None


def root_of(node: Node) -> Node:
    """The node that owns the memory of ``node``."""
    while (source := viewed(node)) is not None:
        node = source
    return node


def own_outputs(g: Graph, slots: Iterable[int], fresh: set[Node]) -> set[Node]:
    """Copy outputs that would share memory, and return the copies.

    An output is copied if it shares memory with an argument, a constant or another of these outputs, or is not in
    ``fresh``. Arguments that are returned unchanged (``g.returned``) are not copied.
    """
    roots: set[Node] = set()
    copies: set[Node] = set()
    for k in slots:
        root, shared = g.outputs[k], False
        while (source := viewed(root)) is not None:
            shared |= root.op not in PLAIN
            root = source
        shared |= root.op in (INPUT, HELD) or root in roots or root not in fresh
        roots.add(root)
        if shared and k not in g.returned:
            # Append the node without `emit`, whose rules would drop the copy.
            out = g.outputs[k]
            g.outputs[k] = Node(A.clone.default, (out,), {"memory_format": torch.contiguous_format}, out.meta)
            g.nodes.append(g.outputs[k])
            copies.add(g.outputs[k])
    return copies


def overwritable_operands(nodes: list[Node], result: Iterable[Node]) -> dict[Node, int]:
    """For each node that may write over an operand: the operand's number. ``result`` is read after all ``nodes``."""
    end = len(nodes)
    last: dict[Node, int] = {}  # by root: the place of the last node that reads its memory
    for i, node in enumerate(nodes):
        for x in node.operands():
            last[root_of(x)] = i
    last.update((root_of(node), end) for node in result)
    here = set(nodes)
    found: dict[Node, int] = {}
    for i, node in enumerate(nodes):
        if node.op not in IN_PLACE:
            continue
        for k in (0, 1) if node.op in (A.add.Tensor, A.mul.Tensor) and not node.kwargs else (0,):
            x = node.args[k]
            if (
                isinstance(x, Node)
                and x in here
                and (x.op in OWNERS or (x.op is operator.getitem and x.args[0].op is A.convolution_backward.default))
                and last[x] == i
                and x.meta == node.meta
                and [root_of(y) for y in node.operands()].count(x) == 1
            ):
                found[node] = k
                break
    return found
