"""A straight-line program of tensor operations that is simplified while it is recorded.

No operation mutates or draws random numbers, and no shape depends on data. So equal operations on equal operands are
one node, and a node without readers may be dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import torch


class Meta(NamedTuple):
    """What is known of a tensor before it is computed."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @property
    def numel(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.shape)


NOTHING: Mapping[str, Any] = MappingProxyType({})
INPUT, HELD = "input", "held"  # two operations that compute nothing: argument i, and a tensor held by reference


@dataclass(eq=False, slots=True)
class Node:
    """One operation. ``meta`` is a Meta, a tuple of them for several results, or None for other results."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    meta: Any

    def operands(self) -> Iterator[Node]:
        """The nodes that this one reads, each as often as it is read."""
        return nodes_in((self.args, tuple(self.kwargs.values())))


class Slot(int):
    """The place of one output in a nested result."""


Rule = Callable[["Graph", Any, tuple[Any, ...], Mapping[str, Any], Any], "Node | None"]


class Graph:
    """Nodes in an order in which they can run. ``rule`` may replace an operation by an equal but cheaper node."""

    def __init__(self, rule: Rule | None = None) -> None:
        self.rule = rule
        self.nodes: list[Node] = []
        self.outputs: list[Node] = []
        self.effects: list[Node] = []  # operations that return nothing but may raise: they are kept
        self.returned: set[int] = set()  # numbers of the outputs that are arguments, returned unchanged
        self._known: dict[Any, Node] = {}

    def emit(self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] = NOTHING, meta: Any = None) -> Node:
        """The node for ``op(*args, **kwargs)``: a simpler equal one, the same one recorded before, or a new one."""
        if self.rule is not None and (simpler := self.rule(self, op, args, kwargs, meta)) is not None:
            return simpler
        key = (op, _hashable(args), _hashable(tuple(sorted(kwargs.items()))))
        if key not in self._known:
            self._known[key] = Node(op, args, kwargs, meta)
            self.nodes.append(self._known[key])
        return self._known[key]

    def live(self) -> list[Node]:
        """The nodes that outputs or effects need, in order."""
        needed = set(self.outputs) | set(self.effects)
        for node in reversed(self.nodes):
            if node in needed:
                needed.update(node.operands())
        return [node for node in self.nodes if node in needed]

    def in_order(self) -> list[Node]:
        """The nodes that a rewrite goes through: every input, as inputs are numbered, then the other live nodes."""
        inputs = [node for node in self.nodes if node.op is INPUT]
        return inputs + [node for node in self.live() if node.op is not INPUT]

    def again(self, node: Node, known: Mapping[Node, Node]) -> Node:
        """Copy ``node`` from another program; ``known`` maps its operands there to nodes here."""
        kwargs = {name: substitute(x, known.__getitem__) for name, x in node.kwargs.items()}
        return self.emit(node.op, substitute(node.args, known.__getitem__), kwargs, node.meta)

    def ending_as(self, old: Graph, known: Mapping[Node, Node]) -> Graph:
        """Give this program the results of ``old`` and return it; ``known`` maps nodes of ``old`` to nodes here."""
        self.outputs = [known[node] for node in old.outputs]
        self.effects = [known[node] for node in old.effects]
        self.returned = old.returned
        return self

    def followed(self) -> list[torch.Tensor]:
        """The tensors that are held by reference: their values are read at each run."""
        return [node.args[0] for node in self.nodes if node.op is HELD]

    def late(self, tangents: Iterable[int]) -> set[Node]:
        """Every live node that depends on one of the inputs with these numbers."""
        wanted = set(tangents)
        return self.reached_from(node for node in self.nodes if node.op is INPUT and node.args[0] in wanted)

    def reached_from(self, sources: Iterable[Node]) -> set[Node]:
        """Every live node that depends on one of ``sources``, themselves included."""
        reached = set(sources)
        for node in self.live():
            if any(x in reached for x in node.operands()):
                reached.add(node)
        return reached


def nodes_in(x: Any) -> Iterator[Node]:
    """Yield every node in nested tuples and lists."""
    if isinstance(x, Node):
        yield x
    elif isinstance(x, tuple | list):
        for item in x:
            yield from nodes_in(item)


def substitute(x: Any, of: Callable[[Node], Any]) -> Any:
    """Nested tuples and lists with every node replaced; lists become tuples."""
    if isinstance(x, Node):
        return of(x)
    return tuple(substitute(item, of) for item in x) if isinstance(x, tuple | list) else x


def _hashable(x: Any) -> Any:
    if isinstance(x, tuple | list):
        return tuple(_hashable(item) for item in x)
    if isinstance(x, torch.Tensor):
        return id(x)
    # 1, 1.0 and True have equal hashes but promote dtypes differently, and nan does not equal itself.
    return (type(x), repr(x)) if isinstance(x, int | float | complex) else x
