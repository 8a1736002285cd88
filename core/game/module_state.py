"""The parameters and buffers of torch modules: where they stand, and how others take their place for one evaluation.

A parameter is known by its identity. Wherever it is held, in a module, in a list or in a closure of the losses, each
torch operation on it is done on the tensor that replaces it. Tied weights therefore stay tied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ..errors import UsageError
from .tree import Player

Key = tuple[Player, str]


@dataclass(frozen=True)
class ModuleState:
    """The tensors of all players' modules: which are trained, which are constant, and where each is registered."""

    modules: Mapping[Player, nn.Module]
    trainable: dict[Key, Tensor]
    constant: dict[Key, Tensor]  # frozen parameters, and buffers
    places: list[tuple[dict[str, Any], str, Key | None]]  # Key None: modules may write to it, and it is thrown away
    training: list[bool]  # of each module, whether it always runs in training mode

    @staticmethod
    def of(modules: Mapping[Player, nn.Module]) -> ModuleState:
        """Find the tensors of ``modules``. Raises UsageError for modules that cannot be played."""
        trainable: dict[Key, Tensor] = {}
        constant: dict[Key, Tensor] = {}
        known: dict[int, Key] = {}  # by identity: a tensor that stands in several places has one key
        places: dict[tuple[int, str], tuple[dict[str, Any], str, Key | None]] = {}
        for player, root in modules.items():
            for prefix, module in root.named_modules():
                if (why := _unplayable(module)) is not None:
                    raise UsageError(f"player {player}: {prefix or 'it'} ({type(module).__name__}) {why}.")
                for own, name, x in _registered(module):
                    full = f"{prefix}.{name}".lstrip(".")
                    if is_lazy(x):
                        raise UsageError(
                            f"player {player}: {full} has no shape yet, a lazy module's: call the module once on data "
                            "before making the game."
                        )
                    if isinstance(module, _NormBase) and name == "num_batches_tracked":
                        places[id(own), name] = own, name, None  # a count of calls, which a game never uses
                        continue
                    key = known.setdefault(id(x), (player, full))
                    moves = own is module._parameters and x.requires_grad
                    if moves and key[0] != player:
                        raise UsageError(
                            f"{key[0]}'s {key[1]} and {player}'s {full} are one parameter, and two players cannot both "
                            "move it: freeze it (requires_grad_(False)), copy it, or make the shared module a player."
                        )
                    (trainable if moves else constant).setdefault(key, x)
                    places[id(own), name] = own, name, key
        every = [m for root in modules.values() for m in root.modules()]
        return ModuleState(modules, trainable, constant, list(places.values()), [m.training for m in every])

    @property
    def all(self) -> list[nn.Module]:
        """Every module of every player, submodules included."""
        return [m for root in self.modules.values() for m in root.modules()]

    @contextmanager
    def replaced(self, tensors: Mapping[Key, Tensor]) -> Iterator[None]:
        """Inside this context the modules compute with ``tensors``; afterwards they are as they were.

        Raises UsageError if a module writes to its buffers, or if submodules were added or removed.
        """
        every = self.all
        if len(every) != len(self.training) or any(name not in owner for owner, name, _ in self.places):
            raise UsageError(
                "the modules are not those the game was made of (one was added or removed): make it again."
            )
        switched = [(m, m.training) for m, mode in zip(every, self.training, strict=True) if m.training != mode]
        before = [(owner, name, owner[name]) for owner, name, _ in self.places]
        attributes = [(m.__dict__, m.__dict__.copy()) for m in every]
        try:
            for owner, name, key in self.places:
                owner[name] = owner[name].clone() if key is None else tensors[key]
            for m, mode in switched:
                m.training = not mode
            with _ByIdentity({id(x): tensors[key] for key, x in {**self.trainable, **self.constant}.items()}, self):
                yield
            for owner, name, key in self.places:
                if key is not None and owner[name] is not tensors[key]:
                    raise self.written(key)
        finally:
            for owner, name, x in before:
                owner[name] = x
            for m, mode in switched:
                m.training = mode
            for now, then in attributes:  # a tensor that a module kept as an attribute belongs to this evaluation
                for name in [name for name, x in now.items() if isinstance(x, Tensor) and then.get(name) is not x]:
                    if name in then:
                        now[name] = then[name]
                    else:
                        del now[name]

    def written(self, key: Key) -> UsageError:
        """The error for a module that writes to the buffer ``key``."""
        player, name = key
        module = self.modules[player].get_submodule(name.rpartition(".")[0])
        return UsageError(
            f"player {player}: the forward of {type(module).__name__} writes to its {name}, and the losses of a game "
            "must change nothing: put the module into eval mode, or keep what changes in a game's buffers and refresh "
            "(for spectral_norm: regularizer spectral-norm)."
        )


def _unplayable(module: nn.Module) -> str | None:
    """Why torch.func cannot evaluate and differentiate a module, and what to do; None if it can."""
    if isinstance(module, torch.jit.ScriptModule):
        return "is compiled by torch.jit, which hides what it does: hand over the module that it was made from"
    if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
        return "is compiled by torch.compile: hand over the module that it was made from (_orig_mod)"
    if module._backward_hooks or module._backward_pre_hooks:
        return "has backward hooks, which are never called here: remove them"
    hooked = [k for k, x in module._parameters.items() if x is not None and x._backward_hooks]
    return f"has a hook on the gradient of {hooked[0]}, which is never called here: remove it" if hooked else None


def _registered(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """The module's own parameters and buffers, each as (the dictionary that holds it, its name there, the tensor)."""
    for own in (module._parameters, module._buffers):
        for name, x in own.items():
            if x is not None:
                yield own, name, x


class _ByIdentity(TorchFunctionMode):
    """Replaces parameters and buffers, known by identity, among the arguments of every torch operation."""

    def __init__(self, instead: dict[int, Tensor], state: ModuleState) -> None:
        super().__init__()
        self.instead, self.state = instead, state
        self.buffers = {id(instead[id(x)]): key for key, x in state.constant.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args = [self._now(x) for x in args]
        if kwargs:
            kwargs = {name: self._now(x) for name, x in kwargs.items()}
        written = kwargs.get("out") if kwargs and "out" in kwargs else args[0] if args and _in_place(func) else None
        for x in written if isinstance(written, list | tuple) else (written,):
            if id(x) in self.buffers:
                raise self.state.written(self.buffers[id(x)])
        return func(*args, **(kwargs or {}))

    def _now(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return self.instead.get(id(x), x)
        return type(x)(self._now(item) for item in x) if type(x) in (list, tuple) else x


def _in_place(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "__iadd__", "__imul__")
