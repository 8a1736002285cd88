"""The derivatives inside losses, counted while the losses are evaluated.

A loss may contain derivatives, as a gradient penalty does. When the loss's own gradient is taken, each of them is
differentiated once more. This costs as much as a product with J, and counts as one. So consensus optimisation has the
same cost as a penalty and as a direction. Gradients for several players from one evaluation count as one derivative,
and each row of a Jacobian counts as one.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._C import _functorch
from torch._C._functorch import peek_interpreter_stack
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from ..game.checks import losses_of
from ..game.game import Game, regularizer_of
from ..game.tree import Batch, Params, Player
from ..process.global_state import restoring_torch_settings
from ..tracing.traced import transform_active, vmap_size

Losses = Mapping[Player, Tensor]
Derivatives = frozenset[tuple[int, int]]  # each derivative as (layer of regularizers, number)


@dataclass(frozen=True)
class FieldCost:
    """The cost of one evaluation of v.

    These are ``gradients`` of all players and ``products`` as declared, and one more product for each of the
    ``derivatives`` seen in the losses of the players whose v is evaluated.
    """

    gradients: int
    products: int
    derivatives: Mapping[Player, Derivatives]

    def products_of(self, rows: Iterable[Player]) -> int:
        """The number of products for v of the players in ``rows``."""
        if not self.derivatives:
            return self.products
        return self.products + len(frozenset[Any]().union(*(self.derivatives.get(i, ()) for i in rows)))


NO_DERIVATIVES = FieldCost(1, 0, {})
_KNOWN: dict[int, FieldCost] = {}  # the work of each game that is alive, by id


def field_cost(game: Game, point: Callable[[], tuple[Params, Batch]]) -> FieldCost:
    """The work of ``game``, found once, at ``point()``: the parameters and the batch of a single member.

    Inside transforms of torch.func it cannot be found; the answer is then that of losses without derivatives.
    """
    if (known := _KNOWN.get(id(game))) is not None:
        return known
    if transform_active():
        return NO_DERIVATIVES
    work = NO_DERIVATIVES
    # An error here comes again where v is taken.
    with restoring_torch_settings(lambda what: None), contextlib.suppress(Exception):
        detached = tree_map(lambda t: t.detach().clone() if isinstance(t, Tensor) else t, point())
        work = _KNOWN[id(game)] = _find_work(game, *detached)
        weakref.finalize(game, _KNOWN.pop, id(game), None)
    return work


def _find_work(game: Game, params: Params, batch: Batch) -> FieldCost:
    """The work of ``game``: what it and its regularizers declare, else what is seen while its losses are evaluated."""
    if game.work is not None:
        return FieldCost(*game.work, {})
    wrapped = _wrapped(game)
    if wrapped is None or not _declared(game):
        return FieldCost(1, 0, _derivatives_in(lambda: losses_of(game, params, batch)))
    regularizer, inner = wrapped.regularizer, wrapped.reparametrised(params, batch)
    below = _find_work(wrapped.game, inner, batch)
    if regularizer.work is not None:
        gradients, products = regularizer.work
        return FieldCost(below.gradients + gradients, below.products + products, below.derivatives)
    added = _derivatives_in(lambda: regularizer.penalties(wrapped.game, inner, batch), _depth(game))
    none = Derivatives()
    both = {i: below.derivatives.get(i, none) | added.get(i, none) for i in game.players}
    return FieldCost(below.gradients, below.products, both)


class _Wrapped(Protocol):
    """A game under a regularizer."""

    game: Game
    regularizer: Any

    def reparametrised(self, params: Params, batch: Batch) -> Params:
        """The parameters with which ``game`` is evaluated."""


def _wrapped(game: Any) -> _Wrapped | None:
    """``game`` itself if it is another game under a regularizer, else None."""
    return None if regularizer_of(game) is None else game


def _declared(game: Game) -> bool:
    """Whether ``game``, one of its regularizers or a game inside it declares its work."""
    wrapped = _wrapped(game)
    return game.work is not None or (
        wrapped is not None and (wrapped.regularizer.work is not None or _declared(wrapped.game))
    )


def _depth(game: Game) -> int:
    """The number of regularizers of ``game``."""
    wrapped = _wrapped(game)
    return 0 if wrapped is None else 1 + _depth(wrapped.game)


def _derivatives_in(losses: Callable[[], Losses], layer: int = 0) -> dict[Player, Derivatives]:
    """The derivatives that each player's loss depends on.

    The losses are evaluated twice. The first time counts the calls that take derivatives. The second time multiplies
    the result of each call by a mark of its own, a tensor that is 1; the autograd graph of a loss then says which
    marks it depends on.
    """
    with torch.enable_grad():
        with _DerivativeCalls() as counted:
            values = losses()
        if not counted.calls:
            return {}
        marks = [torch.ones((), requires_grad=True) for _ in counted.calls]
        with _DerivativeCalls(marks) as counted:
            values = losses()
    return {
        i: Derivatives((layer, n) for call in _marks_reached(x, marks) for n in counted.calls[call])
        for i, x in values.items()
    }


class _DerivativeCalls(TorchFunctionMode):
    """Numbers the derivatives that are taken.

    In reverse mode these are calls of torch.autograd.grad; in forward mode, tensors that are made dual. With ``marks``,
    one for each call, the result of a call is multiplied by the call's mark.
    """

    def __init__(self, marks: list[Tensor] | None = None) -> None:
        super().__init__()
        self.marks = marks
        self.calls: list[range] = []  # for each call the numbers of the derivatives that it gives
        self.reverse: dict[tuple[int, ...], tuple[int, Any]] = {}  # calls by the ids of their inputs, kept alive
        self.forward: dict[int, tuple[int, bool]] = {}  # by level: the last call, and whether its duals are being made

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch._VF._make_dual:
            self._forward_call(*args[:2])
        out = func(*args, **kwargs)
        if func is torch.autograd.grad:
            inputs = args[1] if len(args) > 1 else kwargs["inputs"]
            return tuple(self._marked(self._reverse_call(inputs), x) for x in out)
        if func is torch._VF._unpack_dual:
            call, _ = self.forward.get(level := _level(), (-1, False))
            if call >= 0 and out[1] is not None:
                self.forward[level] = call, False
                return out[0], self._marked(call, out[1])
        return out

    def _reverse_call(self, inputs: Any) -> int:
        """The call that takes a gradient with respect to ``inputs``; the same call for the same inputs."""
        tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        key = tuple(map(id, tensors))
        if key not in self.reverse:
            self.reverse[key] = self._new_call(vmap_size()), tensors
        return self.reverse[key][0]

    def _forward_call(self, primal: Tensor, tangent: Tensor) -> None:
        """A dual tensor is made. It belongs to the call whose duals are being made at this level, or to a new call."""
        call, making = self.forward.get(level := _level(), (-1, False))
        if not making:
            rows = _functorch.is_batchedtensor(tangent) and not _functorch.is_batchedtensor(primal)
            value = _functorch.get_unwrapped(tangent) if rows else tangent
            call = self._new_call(value.shape[_functorch.maybe_get_bdim(tangent)] if rows else 1)
        self.forward[level] = call, True

    def _new_call(self, count: int) -> int:
        """Number the next ``count`` derivatives as one call, and return the index of the call."""
        first = self.calls[-1].stop if self.calls else 0
        self.calls.append(range(first, first + count))
        return len(self.calls) - 1

    def _marked(self, call: int, x: Tensor | None) -> Tensor | None:
        """``x`` times the mark of its call, if there are marks."""
        if x is None or self.marks is None or call >= len(self.marks):
            return x
        return x * self.marks[call].to(x)


def _level() -> int:
    """The number of the innermost transform of torch.func; -1 outside of all."""
    interpreter = peek_interpreter_stack()
    return -1 if interpreter is None else interpreter.level()


def _marks_reached(x: Tensor, marks: list[Tensor]) -> set[int]:
    """The calls, by index, on whose marks ``x`` depends: a search through the autograd graph of ``x``."""
    calls = {id(mark): call for call, mark in enumerate(marks)}
    to_visit, visited, reached = [x.grad_fn], set(), set()
    while to_visit:
        node = to_visit.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if (variable := getattr(node, "variable", None)) is not None and id(variable) in calls:
            reached.add(calls[id(variable)])
        to_visit += [after for after, _ in node.next_functions]
    return reached
