"""Checks of what a game's functions return, made where it comes in. The errors name the game and the function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import PluginError
from .buffers import first_unstorable
from .evaluation import evaluate_losses
from .game import Game, innermost
from .structure import describe_form, form
from .tree import Batch, Buffers, Params, Player


def contract_error(game: Any, wrong: str) -> PluginError:
    """The error for ``wrong``, a breach of the contract by ``game`` or by the regularizer that wraps it."""
    regularizer = getattr(game, "regularizer", None)
    kind, who = ("game", innermost(game)) if regularizer is None else ("regularizer", regularizer)
    cls = type(who)
    return PluginError(f"the {kind} {cls.__name__} breaks its contract: {wrong}.", cls.__module__)


def describe_value(x: Any) -> str:
    """What ``x`` is, in words: its type, and of a tensor also its shape."""
    if isinstance(x, Tensor):
        return describe_form(form(x))
    return "None" if x is None else f"a {type(x).__name__}"


def is_real_tensor(x: Any) -> bool:
    """Whether ``x`` is a dense tensor of real floating numbers, with data."""
    return (
        isinstance(x, Tensor) and x.is_floating_point() and x.layout is torch.strided and x.device.type != "meta"
    )  # fmt: skip


def require_mapping(game: Any, function: str, x: Any) -> Any:
    """Return ``x``, which ``function`` of the game returned. Raises PluginError unless it is a dictionary."""
    if not isinstance(x, Mapping):
        raise contract_error(game, f"its {function} returned {describe_value(x)}; expected: a dictionary")
    return x


def validated_parameters(game: Game, x: Any) -> Params:
    """Return ``x``, which init returned. Raises PluginError unless it is {player: {name: floating tensor}}."""
    game, players = innermost(game), tuple(game.players)
    expected = f"expected: {{player: {{name: floating tensor}}}} of the players {', '.join(map(str, players))}"
    if odd := [i for i in players if not isinstance(i, str)]:
        raise contract_error(
            game, f"its player {odd[0]!r:.40} is {describe_value(odd[0])}; expected: names, such as {str(odd[0])!r:.40}"
        )
    if not isinstance(x, Mapping):
        raise contract_error(game, f"its init returned {describe_value(x)}; {expected}")
    if {*x} != {*players}:
        raise contract_error(game, f"its init returned parameters of {', '.join(map(str, x)) or 'nobody'}; {expected}")
    for i, tree in x.items():
        if not isinstance(tree, Mapping):
            raise contract_error(game, f"its init returned {describe_value(tree)} for {i}; {expected}")
        for k, t in tree.items():
            if not (isinstance(k, str) and is_real_tensor(t)):
                raise contract_error(game, f"its init returned {describe_value(t)} as {i}/{k!s:.40}; {expected}")
    if not any(x.values()):
        raise contract_error(game, f"its init returned no tensor at all; {expected}")
    for i, tree in x.items():
        if not any(t.numel() for t in tree.values()):
            raise contract_error(game, f"its player {i!s:.40} has no parameters; leave out who has nothing to move")
    return cast(Params, x)


def require_one_dtype(game: Game, params: Params) -> None:
    """Raise PluginError unless all parameters have one dtype."""
    types = {str(x.dtype).removeprefix("torch."): f"{i}/{k}" for i, tree in params.items() for k, x in tree.items()}
    if len(types) > 1:
        are = " and ".join(f"{name} of type {kind}" for kind, name in types.items())
        raise contract_error(
            game, f"its init returned {are}; expected: one type for all, as dtype (--dtype) makes them"
        )


def require_storable(game: Game, buffers: Buffers) -> Buffers:
    """Return ``buffers``. Raises PluginError if a checkpoint cannot store them."""
    if (found := first_unstorable(buffers)) is not None:
        path, x = found
        raise contract_error(
            game,
            f"its buffers hold {describe_value(x)} in {path!r:.60}, which no checkpoint keeps; expected: tensors, "
            "numbers, text and None, in dictionaries with names, lists and tuples",
        )
    return buffers


def losses_of(game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
    """``game.losses(params, batch)``. Raises PluginError unless it is one real scalar tensor for each player."""
    losses = evaluate_losses(type(innermost(game)).__name__, game.losses, params, batch)
    if not isinstance(losses, Mapping):
        raise contract_error(
            game, f"its losses are {describe_value(losses)}; expected: a dictionary of one scalar for each player"
        )
    for i in game.players:
        if i not in losses or not isinstance(x := losses[i], Tensor) or x.dim() > 0 or not x.is_floating_point():
            shape = i in losses and isinstance(losses[i], Tensor) and losses[i].dim() > 0
            got = "missing" if i not in losses else describe_value(losses[i])
            got = f"of shape {tuple(losses[i].shape)}" if shape else got
            raise contract_error(
                game, f"the loss of {i} is {got}, not a scalar" + ("" if shape else " tensor of a real type")
            )
    return cast("dict[Player, Tensor]", losses)
