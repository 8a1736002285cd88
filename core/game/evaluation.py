"""How the losses of a game are evaluated: the user's own code, as a pure function with right derivatives.

A torch function mode sees every torch operation of the losses. It

* replaces fused kernels whose derivatives are wrong in torch by our own formulas (:mod:`.differentiable_ops`);
* refuses random numbers, ``torch.autograd.grad`` and the like, and says what to use instead;
* makes ``detach``, ``data`` and ``no_grad`` act on the gradients in v only. J is the derivative of v, as v is played:
  a tensor that v treats as a constant still depends on the parameters when v is differentiated. In torch it would be a
  constant in every derivative, and J would not be the derivative of v.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn.modules import batchnorm as _NORM
from torch.overrides import TorchFunctionMode, _get_current_function_mode
from torch.utils._pytree import tree_map

from ..errors import UsageError
from .differentiable_ops import INTERNAL, WRITTEN_OUT, WouldDraw
from .torch_errors import explain_losses

Action = Callable[["Evaluation", Any, tuple[Any, ...], dict[str, Any]], Any]


class Evaluation(TorchFunctionMode):
    """The mode in which the losses of ``who``, a game by name, are evaluated.

    ``level`` is the functorch level of the gradients in v; None if no derivative is taken. A detached tensor is a
    constant at this level and at the levels inside it (gradients within a loss), but not at the levels around it.
    """

    def __init__(self, who: str, level: int | None) -> None:
        super().__init__()
        self.who, self.level = who, level
        self.fixed = False  # whether the code is inside no_grad
        self.inside: list[Any] = []  # functions of torch in Python whose operations are being looked at

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            action = _ACTIONS[func]
        except KeyError:
            action = _ACTIONS[func] = _action(func)
        if action is None and not self.fixed:
            return func(*args, **kwargs)
        if self.fixed and self.level is not None and action is not _set_grad_mode:
            if _level() != self.level:
                raise self.refuse("take derivatives inside torch.no_grad", "take them outside, and detach the result")
            args, kwargs = tree_map(self.constant, (tuple(args), kwargs))
            with torch.enable_grad():  # the derivatives around this level go on; for v the arguments are constants
                return func(*args, **kwargs) if action is None else action(self, func, args, kwargs)
        return func(*args, **kwargs) if action is None else action(self, func, args, kwargs)

    def constant(self, x: Any) -> Any:
        """``x`` as a constant of v: a tensor is unwrapped of all levels from ``level`` on."""
        if not isinstance(x, Tensor) or self.level is None or _functorch.maybe_get_level(x) < self.level:
            return x
        inside = self.constant(_functorch.get_unwrapped(x))
        if _functorch.is_batchedtensor(x):
            return _functorch._add_batch_dim(inside, _functorch.maybe_get_bdim(x), _functorch.maybe_get_level(x))
        return inside

    def refuse(self, what: str, instead: str) -> UsageError:
        """The error for losses that do ``what``."""
        return UsageError(f"the losses of {self.who} {what}: {instead}.")


def evaluate_losses(who: str, losses: Callable[..., Any], *args: Any) -> Any:
    """``losses(*args)`` in an :class:`Evaluation`, unless one is active at this level already."""
    level, current = _level(), _get_current_function_mode()
    if isinstance(current, Evaluation) and current.level == level:
        return losses(*args)
    mode = Evaluation(who, level)
    enabled = torch.is_grad_enabled()
    try:
        with mode:
            return losses(*args)
    except RuntimeError as error:
        if (known := explain_losses(error)) is None:
            raise
        raise mode.refuse(*known) from error
    finally:
        torch._C._set_grad_enabled(enabled)


def _level() -> int | None:
    """The innermost functorch level."""
    inside = _functorch.peek_interpreter_stack()
    return None if inside is None else inside.level()


# ---------------------------------------------------------------------- which function is treated how

_OWN = ".".join(__name__.split(".")[:2]) + "."  # our other modes may stand between a user's code and torch's
_NO_RANDOM = "draw them in sample, where they are frozen for the step, and read them from the batch"
_GRAD_BY = "torch.func.grad(lambda x: D(x).sum())(x)"
_GRAD = f"take them by {_GRAD_BY}"


def _action(func: Any) -> Action | None:
    """What to do when ``func`` is called; None: just call it."""
    name = str(getattr(func, "__name__", "")).partition(".")[0]
    if func is torch._C._set_grad_enabled:
        return _set_grad_mode
    if (name == "__get__" and func.__self__ is torch.Tensor.data) or name == "detach":
        return _detach
    if name == "detach_":
        return partial(_refuse, "detach a tensor in place", "use detach(), which gives another one")
    if func in (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward):
        return partial(_refuse, "take gradients by torch.autograd", _GRAD)
    if name == "requires_grad_" or (name == "__set__" and func.__self__ is torch.Tensor.requires_grad):
        return partial(_refuse, "set requires_grad", f"take gradients by {_GRAD_BY}, and hold fixed by detach()")
    if name == "__set__" and func.__self__ is torch.Tensor.data:
        return partial(_refuse, "write to the data of a tensor", "compute with new tensors")
    if func is torch.Tensor.add_:
        return _add_in_place
    if getattr(func, "__module__", "") == torch.nn.init.__name__:
        return partial(_refuse, f"initialise weights ({name})", "make modules and their weights before the game")
    if func is torch._VF._make_dual:
        return _make_dual
    if isinstance(func, types.FunctionType):
        return partial(_look_inside, _twin(func))
    if name in INTERNAL:
        return partial(_refuse, f"call torch's internal {name}, whose derivatives are wrong", INTERNAL[name])
    if name in WRITTEN_OUT:
        return partial(_call_ours, WRITTEN_OUT[name])
    return _call_that_may_draw if _may_draw(name) else None


def _set_grad_mode(mode: Evaluation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _by_functorch():
        mode.fixed = not args[0]
    return func(*args)


def _detach(mode: Evaluation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs) if mode.level is None else mode.constant(args[0])


def _add_in_place(mode: Evaluation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In-place addition. In torch's batch normalisation it counts calls, and a game does not keep that count."""
    by = next(name for name in _callers() if not name.startswith(_OWN))
    return args[0] if by.startswith(_NORM.__name__) else func(*args, **kwargs)


def _refuse(what: str, instead: str, mode: Evaluation, func: Any, args: Any, kwargs: Any) -> Any:
    if _by_functorch():
        return func(*args, **kwargs)
    raise mode.refuse(what, instead)


def _callers() -> Iterator[str]:
    """The calling functions, innermost first, as module:name, up to the first that is neither torch's nor ours."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield f"{(module := frame.f_globals.get('__name__', ''))}:{frame.f_code.co_name}"
        if not module.startswith(("torch.", _OWN)):
            return
        frame = frame.f_back


def _by_functorch() -> bool:
    """Whether torch.func is the caller: it uses the same functions as torch.autograd."""
    return any(name.startswith("torch._functorch") for name in _callers())


def _make_dual(mode: Evaluation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a dual number. Raises UsageError if torch.func.linearize does: derivatives of its result are wrong."""
    if "torch._functorch.eager_transforms:trace_fn" in _callers():
        raise mode.refuse("call torch.func.linearize, whose derivatives are wrong", "use torch.func.jvp")
    return func(*args, **kwargs)


def _call_ours(ours: Callable[..., Any], mode: Evaluation, func: Any, args: Any, kwargs: Any) -> Any:
    try:
        return ours(*args, **kwargs)
    except WouldDraw:
        raise mode.refuse(f"draw random numbers ({func.__name__})", _NO_RANDOM) from None


def _call_that_may_draw(mode: Evaluation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function that may draw random numbers. Raises UsageError if it does."""
    name = str(func.__name__).partition(".")[0]
    before = _generators()
    out = None if kwargs.get("generator") is not None else func(*args, **kwargs)
    if out is None or any(not torch.equal(a, b) for a, b in zip(before, _generators(), strict=True)):
        torch.set_rng_state(before[0])
        raise mode.refuse(f"draw random numbers ({name})", _NO_RANDOM)
    return out


def _generators() -> list[Tensor]:
    """The states of torch's own generators."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]


def _look_inside(twin: Callable[..., Any], mode: Evaluation, func: Any, args: Any, kwargs: Any) -> Any:
    """Call a function that torch has in Python, by its ``twin``, so that the mode sees the operations inside it."""
    if func in mode.inside:
        return func(*args, **kwargs)
    mode.inside.append(func)
    try:
        with mode:
            return twin(*args, **kwargs)
    finally:
        mode.inside.pop()


def _twin(func: types.FunctionType) -> Callable[..., Any]:
    """``func`` without its first lines, which would dispatch to the mode again."""
    hands_over: Mapping[str, Any] = {
        name: lambda *args: False
        for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    }
    twin = types.FunctionType(
        func.__code__, {**func.__globals__, **hands_over}, func.__name__, func.__defaults__, func.__closure__
    )
    twin.__kwdefaults__ = func.__kwdefaults__
    return twin


def _may_draw(name: str) -> bool:
    """Whether the torch operation called ``name`` may draw random numbers, by torch's own tags."""
    packet = getattr(torch.ops.aten, name, None) if name.isidentifier() and not name.startswith("__") else None
    overloads = [getattr(packet, o) for o in packet.overloads()] if packet is not None else []
    return any(torch.Tag.nondeterministic_seeded in o.tags for o in overloads)


_ACTIONS: dict[Any, Action | None] = {}
