"""torch's errors about losses that it cannot evaluate or differentiate, told again with what to do about them."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ..errors import PluginError, UsageError, UserError, out_of_memory
from .structure import describe_form, form
from .tree import Params, Player

_NO_DERIVATIVE = ("derivative for", "has no double backward", "no autograd formula")

_ELSEWHERE = "compute with tensors (torch.where), or play without members"
_NUMPY = "take numbers out of a tensor (numpy, tolist)", "compute with tensors, through which derivatives pass"
_UNSUPPORTED = "use others, or play without members"
_WORDS = (  # a sign in torch's message; what the losses do; what to do instead
    ("mutate a captured", "write to a tensor that is neither parameter nor batch",
     "keep what changes in the game's buffers and refresh, or put the module that does it into eval mode"),
    ("setup_context", "use a torch.autograd.Function that torch.func cannot differentiate",
     "give it a static setup_context beside a forward without ctx, and generate_vmap_rule = True"),
    ("generate_vmap_rule", "use a torch.autograd.Function that cannot be played by members",
     "set its generate_vmap_rule = True or give it a static vmap"),
    ("called random operation", "draw random numbers",
     "draw them in sample, where they are frozen for the step, and read them from the batch"),
    ("Tensor.requires_grad_()", "ask torch.autograd for gradients",
     "take them by torch.func.grad(lambda x: D(x).sum())(x)"),
    ("calling .item() on a Tensor", "look at a number in a tensor, which differs from member to member", _ELSEWHERE),
    ("data-dependent control flow", "look at a number in a tensor, which differs from member to member", _ELSEWHERE),
    ("Cannot access data pointer", *_NUMPY), ("t call numpy() on", *_NUMPY),
    ("Cannot access storage", "copy a module or tensor (deepcopy)",
     "call the module itself, and copy tensors by clone()"),
    ("saved tensor hooks", "use saved tensor hooks, as torch.utils.checkpoint does",
     "call the function itself, without them"),
    ("vmap: ", "use an operation that torch cannot do for all members at once", _UNSUPPORTED),
    ("Batching rule not implemented", "use an operation that torch cannot do for all members at once", _UNSUPPORTED),
)  # fmt: skip
_TWO_TYPES = ("same dtype", "expected scalar type", "should be the same")  # signs in torch's message


def explain_losses(error: Exception) -> tuple[str, str] | None:
    """What losses did that made torch raise ``error``, and what to do instead. None: an error not known here."""
    said = str(error)
    if _of_two_types(error):
        one_type = "draw the batch in the type of the parameters, or let dtype (--dtype) make all floats one type"
        return f"compute with numbers of two types ({_first_line(said)})", one_type
    return next(((what, instead) for sign, what, instead in _WORDS if sign in said), None)


def _of_two_types(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _TWO_TYPES)


def _first_line(said: str) -> str:
    return said.partition("\n")[0].strip(": ").rstrip(".")


def explain_derivatives(error: Exception) -> UserError | None:
    """The error to raise in place of ``error``, which torch raised for a derivative. None: one not known here."""
    said = _first_line(str(error))
    if not any(sign in said for sign in _NO_DERIVATIVE):
        return None
    return PluginError(
        f"the losses use an operation that torch cannot differentiate as often as this needs ({said}): write it in "
        "plain operations, or take a solver that asks for v alone, such as simgd."
    )


@contextmanager
def explained(modules: Mapping[Player, nn.Module], hint: str, params: Params) -> Iterator[None]:
    """A context in which an error that a player's module raises names the player, and what was given and expected.

    ``hint`` is a further sentence. What torch raises while it traces is left to those who trace.
    """
    try:
        yield
    except Exception as error:
        known = isinstance(error, UserError) or out_of_memory(error) is not None
        known = known or (explain_losses(error) is not None and not _of_two_types(error))
        said = None if known or _get_current_dispatch_mode() is not None else _of_a_module(error, modules, params)
        if said is None:
            raise
        raise UsageError(f"{said} {hint}".rstrip()) from error


def _of_a_module(error: Exception, modules: Mapping[Player, nn.Module], params: Params) -> str | None:
    """What a player's module did that raised ``error``, in a sentence. None: it was raised outside of the modules."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    calls = [f.f_locals for f, _ in frames if f.f_code.co_name == "_call_impl" and "self" in f.f_locals]
    started = [(i, call) for call in calls for i, root in modules.items() if call["self"] is root]
    if not started:
        return None
    (player, outer), inner = started[0], calls[-1]
    layer, given = inner["self"], (*inner["args"], *inner["kwargs"].values())
    name = next((f"layer {k}, " for k, m in modules[player].named_modules() if m is layer and k), "module, ")
    who = f"player {player}: its {name}{type(layer).__name__},"
    try:
        inspect.signature(layer.forward).bind(*inner["args"], **inner["kwargs"])
    except TypeError:
        takes = inspect.signature(layer.forward)
        return f"{who} takes {takes}, and was given {_listed(given)}."
    fits = [says(layer) for kind, says in _TAKES if isinstance(layer, kind)]
    expected = f"; expected: {fits[0]}" if fits else f" ({_first_line(f'{type(error).__name__}: {error}')})"
    advice = ""
    if _of_two_types(error) and (own := next(iter(params.get(player, {}).values()), None)) is not None:
        expected += f" of type {_type(own)}, as its weights are" if fits else f"; its weights are of type {_type(own)}"
        advice = f" {_one_type(own, given, outer['args'])}"
    from_what = "" if inner is outer else f", when its module is given {_listed(outer['args'])}"
    return f"{who} cannot take {_listed(given)}{expected}{from_what}.{advice}"


def _one_type(own: Tensor, given: tuple[Any, ...], outside: tuple[Any, ...]) -> str:
    """What to do where a layer with weights like ``own`` is ``given`` another type; its module is given ``outside``."""
    if any(isinstance(x, Tensor) and not x.is_floating_point() for x in given):
        return "Draw floats; of pixels from 0 to 255, for example, x / 127.5 - 1."
    if all(x.dtype == own.dtype for x in outside if isinstance(x, Tensor) and x.is_floating_point()):
        return "The module itself makes another type of what it is given: let its forward keep the type."
    one = _type(own) if own.dtype in (torch.float32, torch.float64) else "float32"
    return f'Draw the batch in the type of the weights, or let dtype="{one}" (--dtype {one}) make both one type.'


def _type(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


_TAKES: tuple[tuple[type[nn.Module], Callable[[Any], str]], ...] = (
    (nn.Linear, lambda m: f"(..., {m.in_features})"),
    (_ConvNd, lambda m: f"(B, {m.in_channels}, {', '.join('DHW'[3 - len(m.kernel_size) :])})"),
    (_NormBase, lambda m: f"(B, {m.num_features}, ...), in training mode of more than one value a channel"),
    (nn.Embedding, lambda m: f"whole numbers (int64) from 0 to {m.num_embeddings - 1}"),
)


def _listed(given: tuple[Any, ...]) -> str:
    return " and ".join(map(_described, given)) or "nothing"


def _described(x: Any) -> str:
    """What ``x`` is; of whole numbers also how large they are."""
    what = "None" if x is None else describe_form(form(x))
    whole = isinstance(x, Tensor) and x.numel() and not x.is_floating_point() and not x.is_complex()
    return f"{what}, from {x.min()} to {x.max()}" if whole else what
