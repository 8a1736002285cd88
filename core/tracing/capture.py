"""From a Python function to a program: run it once on tensors without numbers and record its operations."""

from __future__ import annotations

import contextlib
import itertools
import logging
import operator
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .. import nested
from .program.graph import HELD, INPUT, NOTHING, Graph, Meta, Node, Slot
from .program.optimize import Rewrite, optimize
from .program.simplify import A, simplify
from .pytrees import CONSTANTS, rebuild


class Untraceable(Exception):
    """The function does something that a replay could not repeat; the message says what."""


def capture(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    leaves: list[Tensor],
    lower: bool = False,
    point: int | None = None,
    rewrite: Rewrite | None = None,
) -> tuple[Graph, Any]:
    """Return the program of ``fn(*args)`` as a function of ``leaves``, and the structure of its result with Slots.

    ``leaves`` are the tensors of ``args``. Tensors that ``fn`` closes over are held by reference. ``lower`` replaces
    compound operations (softplus and similar, and their derivatives) by simple ones. If ``point`` is given, the first
    ``point`` leaves stay the same for several runs with other tangents, which are the further leaves; then the program
    that ``rewrite`` makes is used where it saves work.

    Raises:
        Untraceable: ``fn`` mutates, draws random numbers, or branches on numbers that it computes.
        Exception: any other error while tracing.
    """
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx  # slow to import

    results: list[Any] = []

    def flat(*xs: Tensor) -> tuple[Tensor, ...]:
        given = iter(xs)
        out = fn(*rebuild(args, lambda _: next(given)))
        found = list(nested.leaves(out))
        for x in found:
            if not isinstance(x, (Tensor, *CONSTANTS)):
                raise Untraceable(f"it returns a {type(x).__name__}")
        places = itertools.count()
        results.append(rebuild(out, lambda _: Slot(next(places))))
        return tuple(x for x in found if isinstance(x, Tensor))

    with warnings.catch_warnings(), _unharmed():
        warnings.simplefilter("ignore")  # those of make_fx; the function's own are shown when it runs for comparison
        # Make in-place operations functional, so that equal expressions have equal values.
        pure = torch.func.functionalize(flat, remove="mutations_and_views")
        # A tensor that is given twice, or is also closed over, would be traced as one input: make each one distinct.
        apart = [x.detach() for x in leaves]
        simple: Any = core_aten_decompositions() if lower else None
        trace = make_fx(pure, decomposition_table=simple, tracing_mode="fake", _allow_non_fake_inputs=True)
        try:
            module = trace(*apart)
        except (TypeError, RuntimeError) as error:
            if "torch._C.Generator" in str(error):  # before torch 2.12 a generator cannot even be traced
                raise Untraceable("it draws random numbers") from None
            raise
    tangents = None if point is None else set(range(point, len(leaves)))
    return optimize(_translate(module), tangents, rewrite), results[-1]


@contextlib.contextmanager
def _unharmed() -> Iterator[None]:
    """Contain a failure of torch's tracing, which could leave autograd switched off and write to the terminal."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with torch._C._ForceDispatchKeyGuard(
            torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()
        ):
            try:
                yield
            except Exception as error:
                told: BaseException | None = error
                while told is not None:  # its frames hold guards of torch, which must end now, not when they are freed
                    traceback.clear_frames(told.__traceback__)
                    told = told.__cause__ or told.__context__
                raise
    finally:
        log.disabled = before


def _translate(module: torch.fx.GraphModule) -> Graph:
    g = Graph(simplify)
    known: dict[torch.fx.Node, Node] = {}

    def mapped(x: Any) -> Any:
        if isinstance(x, torch.fx.Node):
            return known[x]
        return tuple(mapped(item) for item in x) if isinstance(x, tuple | list) else x

    for i, node in enumerate(module.graph.nodes):
        meta = _meta(node.meta.get("val"))
        if node.op == "placeholder":
            known[node] = g.emit(INPUT, (i,), NOTHING, meta)
        elif node.op == "get_attr":
            held = getattr(module, node.target)
            if isinstance(held, torch.Generator):
                raise Untraceable("it draws random numbers")
            if not isinstance(held, Tensor):
                raise Untraceable(f"it holds a {type(held).__name__}")
            known[node] = g.emit(HELD, (held,), NOTHING, _meta(held))
        elif node.op == "call_function":
            _permit(node.target, node.args)
            kwargs = {name: mapped(x) for name, x in node.kwargs.items()}
            known[node] = g.emit(node.target, mapped(node.args), kwargs, meta)
            if node.target is not operator.getitem and not node.target._schema.returns:
                g.effects.append(known[node])
        else:
            g.outputs = list(mapped(node.args[0]))
            g.returned = {k for k, x in enumerate(node.args[0]) if x.op == "placeholder"}
    return g


def _meta(val: Any) -> Any:
    if isinstance(val, Tensor):
        return Meta(tuple(val.shape), val.dtype, val.device)
    return tuple(_meta(v) for v in val) if isinstance(val, tuple | list) else None


def _is_mask(index: Any) -> bool:
    """Whether the numbers in an index of ``x[index]`` decide the shape of the result."""
    return index is not None and index.meta["val"].dtype in (torch.bool, torch.uint8)


def _permit(op: Any, args: tuple[Any, ...]) -> None:
    if op is operator.getitem or (op is A.index.Tensor and not any(map(_is_mask, args[1]))):
        return
    if not isinstance(op, torch._ops.OpOverload):
        raise Untraceable(f"it computes with numbers taken out of tensors ({op})")
    if torch.Tag.nondeterministic_seeded in op.tags:
        raise Untraceable(f"it draws random numbers ({op})")
    if torch.Tag.data_dependent_output in op.tags or torch.Tag.dynamic_output_shape in op.tags:
        raise Untraceable(f"it looks at the numbers in a tensor ({op})")
    if op._schema.is_mutable:
        raise Untraceable(f"it changes a tensor in place ({op})")
    if "as_strided" in str(op) or op in (A.view.dtype, A.view_copy.dtype):
        raise Untraceable(f"it depends on how memory is laid out ({op})")
