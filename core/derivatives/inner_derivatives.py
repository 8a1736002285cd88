"""What a loss differentiates inside, found by looking on while it is evaluated.

A derivative that a loss is made of (a gradient penalty's, consensus optimisation's) is differentiated once more when
the loss's own gradient is taken. That is a product, as if it had been taken with J, and counts as one: consensus
optimisation costs the same as a penalty and as a direction. Gradients of several players that come from one
evaluation are one; each row of a Jacobian is one.
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
from ..process.global_state import undisturbed
from ..tracing.traced import lanes, watched

Losses = Mapping[Player, Tensor]
Numbers = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Work:
    """What one evaluation of v takes: ``gradients`` of everyone and ``products``, as declared, and one more product for
    each number ``inside`` the losses of the players asked.
    """

    gradients: int
    products: int
    inside: Mapping[Player, Numbers]

    def products_of(self, rows: Iterable[Player]) -> int:
        if not self.inside:
            return self.products
        return self.products + len(frozenset[Any]().union(*(self.inside.get(i, ()) for i in rows)))


PLAIN = Work(1, 0, {})
_KNOWN: dict[int, Work] = {}  # of games that live, by identity


def work_of(game: Game, point: Callable[[], tuple[Params, Batch]]) -> Work:
    """That of ``game``, looked for once at the ``point`` of a single member; inside transforms it is not looked for."""
    if (known := _KNOWN.get(id(game))) is not None:
        return known
    if watched():
        return PLAIN
    found = PLAIN
    with undisturbed(lambda what: None), contextlib.suppress(Exception):  # what fails here fails again where it is told
        apart = tree_map(lambda t: t.detach().clone() if isinstance(t, Tensor) else t, point())
        found = _KNOWN[id(game)] = work(game, *apart)
        weakref.finalize(game, _KNOWN.pop, id(game), None)
    return found


def work(game: Game, params: Params, batch: Batch) -> Work:
    """That of ``game``, as declared by it and by its regularizers, layer by layer, and else as seen there."""
    if game.work is not None:
        return Work(*game.work, {})
    wrapped = _wrapped(game)
    if wrapped is None or not _declared(game):
        return Work(1, 0, _inside(lambda: losses_of(game, params, batch)))
    regularizer, inner = wrapped.regularizer, wrapped.reparametrised(params, batch)
    below = work(wrapped.game, inner, batch)
    if regularizer.work is not None:
        gradients, products = regularizer.work
        return Work(below.gradients + gradients, below.products + products, below.inside)
    own = _inside(lambda: regularizer.penalties(wrapped.game, inner, batch), _depth(game))
    return Work(below.gradients, below.products, {i: below.inside.get(i, Numbers()) | own.get(i, Numbers())
                                                  for i in game.players})  # fmt: skip


class _Wrapped(Protocol):
    """A game under a regularizer."""

    game: Game
    regularizer: Any

    def reparametrised(self, params: Params, batch: Batch) -> Params:
        """The parameters that the game inside is played with."""


def _wrapped(game: Any) -> _Wrapped | None:
    """``game`` itself where it is another game under a regularizer."""
    return None if regularizer_of(game) is None else game


def _declared(game: Game) -> bool:
    """Whether something in ``game`` says what it takes."""
    wrapped = _wrapped(game)
    return game.work is not None or (
        wrapped is not None and (wrapped.regularizer.work is not None or _declared(wrapped.game))
    )


def _depth(game: Game) -> int:
    wrapped = _wrapped(game)
    return 0 if wrapped is None else 1 + _depth(wrapped.game)


def _inside(losses: Callable[[], Losses], layer: int = 0) -> dict[Player, Numbers]:
    with torch.enable_grad():
        with _Derivatives() as seen:
            values = losses()
        if not seen.calls:
            return {}
        marks = [torch.ones((), requires_grad=True) for _ in seen.calls]
        with _Derivatives(marks) as seen:
            values = losses()
    return {i: Numbers((layer, n) for call in _reached(x, marks) for n in seen.calls[call]) for i, x in values.items()}


class _Derivatives(TorchFunctionMode):
    """Numbers the derivatives taken: in reverse all pass torch.autograd.grad, in forward mode they make duals.

    With ``marks``, a one for each call, what a call gives is multiplied by its own, and so depends on it.
    """

    def __init__(self, marks: list[Tensor] | None = None) -> None:
        super().__init__()
        self.marks = marks
        self.calls: list[range] = []  # the numbers of the derivatives that each call gives
        self.pulled: dict[tuple[int, ...], tuple[int, Any]] = {}  # calls by what they differentiate by, kept alive
        self.pushed: dict[int, tuple[int, bool]] = {}  # by level: the last call, and whether its duals are being made

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch._VF._make_dual:
            self._push(*args[:2])
        out = func(*args, **kwargs)
        if func is torch.autograd.grad:
            inputs = args[1] if len(args) > 1 else kwargs["inputs"]
            return tuple(self._marked(self._pull(inputs), x) for x in out)
        if func is torch._VF._unpack_dual:
            call, _ = self.pushed.get(level := _level(), (-1, False))
            if call >= 0 and out[1] is not None:
                self.pushed[level] = call, False
                return out[0], self._marked(call, out[1])
        return out

    def _pull(self, inputs: Any) -> int:
        """The call of a gradient by ``inputs``."""
        own = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        key = tuple(map(id, own))
        if key not in self.pulled:
            self.pulled[key] = self._call(lanes()), own
        return self.pulled[key][0]

    def _push(self, primal: Tensor, tangent: Tensor) -> None:
        """A dual is made: of the call that others at this level are being made of, or of a new one."""
        call, making = self.pushed.get(level := _level(), (-1, False))
        if not making:
            rows = _functorch.is_batchedtensor(tangent) and not _functorch.is_batchedtensor(primal)
            value = _functorch.get_unwrapped(tangent) if rows else tangent
            call = self._call(value.shape[_functorch.maybe_get_bdim(tangent)] if rows else 1)
        self.pushed[level] = call, True

    def _call(self, count: int) -> int:
        first = self.calls[-1].stop if self.calls else 0
        self.calls.append(range(first, first + count))
        return len(self.calls) - 1

    def _marked(self, call: int, x: Tensor | None) -> Tensor | None:
        if x is None or self.marks is None or call >= len(self.marks):
            return x
        return x * self.marks[call].to(x)


def _level() -> int:
    inside = peek_interpreter_stack()
    return -1 if inside is None else inside.level()


def _reached(x: Tensor, marks: list[Tensor]) -> set[int]:
    """The marks that ``x`` depends on."""
    own = {id(mark): call for call, mark in enumerate(marks)}
    left, seen, found = [x.grad_fn], set(), set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None and id(variable) in own:
            found.add(own[id(variable)])
        left += [after for after, _ in node.next_functions]
    return found
