"""torch's errors about losses that it cannot evaluate or differentiate, told again with what to do about them."""

from __future__ import annotations

from ..errors import PluginError, UserError

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


def explain_losses(error: Exception) -> tuple[str, str] | None:
    """What losses did that made torch raise ``error``, and what to do instead. None: an error not known here."""
    said = str(error)
    return next(((what, instead) for sign, what, instead in _WORDS if sign in said), None)


def explain_derivatives(error: Exception) -> UserError | None:
    """The error to raise in place of ``error``, which torch raised for a derivative. None: one not known here."""
    said = str(error).partition("\n")[0].strip().rstrip(".")
    if not any(sign in said for sign in _NO_DERIVATIVE):
        return None
    return PluginError(
        f"the losses use an operation that torch cannot differentiate as often as this needs ({said}): write it in "
        "plain operations, or take a solver that asks for v alone, such as simgd."
    )
