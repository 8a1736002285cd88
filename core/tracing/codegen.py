"""From a program to Python functions: one line for each operation; each result is released after its last use."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from ..nested import leaves
from .program.graph import HELD, INPUT, Graph, Node, Slot
from .program.memory import IN_PLACE, overwritable_operands, own_outputs, root_of
from .program.simplify import A

SMALL = 1 << 14  # numbers up to which a constant tensor is computed once and kept

# The Python bindings parse arguments faster than operator objects do (0.9 against 1.4 us for a product of two numbers),
# and in small games most time is spent there.
QUICK: dict[Any, Callable[..., Any]] = {
    getattr(getattr(A, name), overload): getattr(torch, name)
    for names, overload in (
        ("add sub mul div", "Tensor"),
        ("neg exp log sin cos tanh sigmoid relu sqrt rsqrt square abs reciprocal sum mean", "default"),
        ("mm bmm mv dot addmm baddbmm reshape permute unsqueeze", "default"),
        ("sum", "dim_IntList"),
        ("mean", "dim"),
        ("pow", "Tensor_Scalar"),
        ("where", "self"),
    )
    for name in names.split()
}


Stage = Callable[..., Any]


def replay(g: Graph, results: tuple[Any, ...], counts: Sequence[int]) -> tuple[Stage, list[Stage]]:
    """The program in stages: one for the first ``counts[0]`` inputs (the point), one for each further group of inputs.

    The first stage is a function of the list of its inputs. It returns ``results[0]`` and the residuals: the values
    that other stages need. Stage k is a function of the list of its inputs and the residuals. It returns
    ``results[k]``, which must not depend on other groups.
    """
    inputs = iter([node for node in g.nodes if node.op is INPUT])
    point, *tangents = [list(islice(inputs, count)) for count in counts]
    own, *others = [[k for k in leaves(result) if isinstance(k, Slot)] for result in results]
    moving = list(chain(*tangents))
    free = set(g.nodes) - g.reached_from([*point, *moving, *(node for node in g.nodes if node.op is HELD)])
    late = free | g.reached_from(moving)  # each stage makes anew what depends on no input
    late |= own_outputs(g, chain(*others), late)
    constants = _constants(g)
    nodes = [node for node in g.live() if node not in constants]
    kept: set[Node] = set()
    parts = []
    for group, slots in zip(tangents, others, strict=True):
        reached = g.reached_from(group)
        wanted = {g.outputs[k] for k in slots} | {node for node in g.effects if node in reached}
        part, read = _upstream(nodes, wanted, late)
        parts.append(part)
        kept |= read
    shared = {root_of(node) for node in kept}
    own_outputs(g, own, {node for node in g.nodes if node not in shared})
    checks = {node for node in g.effects if not any(node in part for part in parts)}
    nodes = [node for node in g.live() if node not in constants]
    early, _ = _upstream(nodes, {g.outputs[k] for k in own} | kept | checks, set(nodes))
    residuals = [node for node in nodes if node in kept]

    def stage(part: set[Node], signature: list[list[Node]], result: Any) -> Stage:
        return _function([node for node in nodes if node in part], signature, result, constants)

    values = [_filled(result, g.outputs) for result in results]
    return stage(early, [point], (values[0], tuple(residuals))), [
        stage(part, [group, residuals], value) for part, group, value in zip(parts, tangents, values[1:], strict=True)
    ]


def _upstream(nodes: list[Node], wanted: set[Node], inside: set[Node]) -> tuple[set[Node], set[Node]]:
    """The nodes of ``inside`` that ``wanted`` needs, and the nodes outside that these read."""
    needed = set(wanted)
    for node in reversed(nodes):
        if node in needed and node in inside:
            needed.update(node.operands())
    needed &= set(nodes)  # without constants
    return needed & inside, needed - inside


def _constants(g: Graph) -> dict[Node, Tensor]:
    """The tensors that are known before a run: those held by reference, and small ones that depend on no input."""
    known: dict[Node, Tensor] = {}
    for node in g.live():
        if node.op is HELD:
            known[node] = node.args[0]
        elif node.op is A.full.default and node not in g.outputs and math.prod(node.meta.shape) <= SMALL:
            known[node] = torch.full(*node.args, **node.kwargs)
    return known


def _function(nodes: list[Node], signature: list[list[Node]], result: Any, constants: dict[Node, Tensor]) -> Stage:
    """Compile ``nodes`` to a function that takes one list for each entry of ``signature`` and returns ``result``."""
    space: dict[str, Any] = {}
    names: dict[Node, str] = {}

    def name_of(node: Node) -> str:
        if node in constants and node not in names:
            names[node] = f"c{len(space)}"
            space[names[node]] = constants[node]
        return names.setdefault(node, f"v{len(names)}")

    def text(x: Any) -> str:
        if isinstance(x, Node):
            return name_of(x)
        if isinstance(x, dict):
            return "{" + ", ".join(f"{text(k)}: {text(item)}" for k, item in x.items()) + "}"
        if type(x) is list:
            return "[" + ", ".join(map(text, x)) + "]"
        if type(x) is tuple:
            return "(" + "".join(text(item) + ", " for item in x) + ")"
        if isinstance(x, tuple):  # a named tuple
            return f"{bound(type(x))}(*{text(tuple(x))})"
        if x is None or type(x) in (int, bool, str) or (type(x) is float and math.isfinite(x)):
            return repr(x)
        return bound(x)

    def bound(x: Any) -> str:
        space[f"k{len(space)}"] = x
        return f"k{len(space) - 1}"

    last = {x: node for node in nodes for x in node.operands()}  # the last reader of x, as later ones replace earlier
    returned = set(_nodes(result))
    over = overwritable_operands(nodes, returned)
    lines = [f"{''.join(name_of(x) + ', ' for x in group)} = a{k}" for k, group in enumerate(signature) if group]
    for node in nodes:
        if node.op is INPUT:
            continue
        gone = [
            x for x in dict.fromkeys(node.operands()) if last[x] is node and x not in returned and x not in constants
        ]
        call = _call(node, over.get(node), text, bound)
        lines.append("; ".join([f"{name_of(node)} = {call}", *(f"{name_of(x)} = None" for x in gone)]))
    lines.append(f"return {text(result)}")
    arguments = ", ".join(f"a{k}" for k in range(len(signature)))
    exec(f"def stage({arguments}):\n  " + "\n  ".join(lines), space)  # the text has only our own names and literals
    return space["stage"]


def _call(node: Node, over: int | None, text: Callable[[Any], str], bound: Callable[[Any], str]) -> str:
    args = node.args
    if node.op is operator.getitem:
        return f"{text(args[0])}[{args[1]}]"
    if over is None:
        how = QUICK.get(node.op, node.op._op) if args and isinstance(args[0], Node) else node.op._op
    else:
        how = IN_PLACE[node.op]
        args = (args[over], *args[:over], *args[over + 1 :])
    return f"{bound(how)}({', '.join([text(x) for x in args] + [f'{k}={text(x)}' for k, x in node.kwargs.items()])})"


def _nodes(x: Any) -> list[Node]:
    return [item for item in leaves(x) if isinstance(item, Node)]


def _filled(x: Any, outputs: list[Node]) -> Any:
    """``x`` with its numbered slots replaced by the nodes that compute them."""
    if isinstance(x, Slot):
        return outputs[x]
    if isinstance(x, dict):
        return {k: _filled(item, outputs) for k, item in x.items()}
    if isinstance(x, list | tuple):
        items = [_filled(item, outputs) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return x
