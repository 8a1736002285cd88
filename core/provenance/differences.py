"""Compare the game, solver and regularizers given to a resumed run with those that run.json says it began with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from ..errors import UserError, printable
from ..game.game import Game
from ..game.regularizer import Regularizer, regularized
from ..registry import registry
from ..solver.solver import Solver
from ..storage.strict_json import dumps, parse
from .description import CODE, FIRST, describe
from .remaking import equal_values, name_of, table_of

_LONG = 80  # characters of a value that are shown


def differences(
    experiment: Mapping[str, Any],
    game: Game | None,
    solver: Solver | None,
    regularizers: Sequence[Regularizer] | None,
    begun: bool,
) -> list[str]:
    """Return, in words, how the given objects differ from those of ``experiment``; None means that one was not given.

    ``begun`` says that there is a checkpoint: then the first values of the parameters no longer matter.
    """
    if "origins" not in experiment:  # written by an older version, whose descriptions are shorter
        under = None if game is None else regularized(game, *(regularizers or ()))
        handed = {"game": under, "solver": solver}
        pairs = [(kind, experiment[kind], x) for kind, x in handed.items() if x is not None and kind in experiment]
        return [why for kind, was, x in pairs for why in _walk(f"the {kind}", was, _plain(_noted(x)), begun, True)]
    out = [] if game is None else _one("game", experiment["game"], game, begun)
    out += [] if solver is None else _one("solver", experiment["solver"], solver, begun)
    known = experiment.get("regularizers", [])
    if regularizers is None:
        return out
    if len(known) != len(regularizers):
        was, now = ([_named(x) for x in xs] for xs in (known, regularizers))
        return [*out, f"the regularizers were {', '.join(was) or 'none'} and are {', '.join(now) or 'none'}"]
    return out + [why for x, r in zip(known, regularizers, strict=True) for why in _one("regularizer", x, r, begun)]


def _one(kind: str, was: Any, thing: Any, begun: bool) -> list[str]:
    where, words = f"the {kind}", _plain(describe(thing))
    if isinstance(was, Mapping) and "class" in was:
        return list(_walk(where, was, words, begun))
    try:
        made = registry.make(kind, was)
    except UserError:  # its plugin is not installed here; its options can still be compared
        return list(_walk(where, was, table_of(thing) or words, begun))
    if equal_values(made, thing):
        return []
    tables = table_of(made), table_of(thing)
    old, now = tables if None not in tables else (_plain(describe(made)), words)
    return list(_walk(where, old, now, begun)) or [f"{where} was {_named(was)} and is {_named(thing)}"]


def _walk(where: str, was: Any, now: Any, begun: bool, noted: bool = False) -> Iterator[str]:
    """Yield every difference of two descriptions, in words. With ``noted``, only keys of the first are compared."""
    where = printable(where)
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        was, now = ({f"[{n}]": x for n, x in enumerate(xs)} for xs in (was, now))
    if not isinstance(was, Mapping) or not isinstance(now, Mapping):
        if not equal_values(was, now):
            yield f"{where} was {_short(was)} and is {_short(now)}"
        return
    for kind in ("name", "class", "function"):
        if kind in was and was[kind] != now.get(kind):
            yield f"{where} was {_short(was[kind])} and is {_short(now.get(kind, now))}"
            return
    for key in was if noted else {**was, **now}:
        if key == CODE and was.get(key) != now.get(key):
            (old, _, _), (new, _, _) = (str(x.get(key, "")).partition(" ") for x in (was, now))
            other = f" cannot be compared: it was compiled by Python {_short(old)}, and this is {new}"
            yield f"the code of {where}" + (other if old and new and old != new else " is not what it was")
        elif key != FIRST or not begun:
            path = f"{where}{key}" if key[0] == "[" else f"{where}.{key}" if "'s " in where else f"{where}'s {key}"
            yield from _walk(path, was.get(key), now.get(key), begun, noted)


def _named(x: Any) -> str:
    if isinstance(x, str | Mapping):
        return _short(x if isinstance(x, str) else x.get("class", x.get("name", x)))
    return name_of(x) or type(x).__qualname__


def _short(x: Any) -> str:
    text = printable("nothing" if x is None else x if isinstance(x, str) else dumps(x, None).strip())
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _plain(x: Any) -> Any:
    return parse(dumps(x))


def _noted(x: Any) -> Any:
    """The description of an object as older versions wrote it to run.json."""
    if is_dataclass(x) and not isinstance(x, type):
        shown = {f.name: _noted(getattr(x, f.name)) for f in fields(x) if f.repr}
        return {"name": getattr(type(x), "name", type(x).__name__), **shown}
    if isinstance(x, Mapping):
        return {str(k): _noted(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_noted(v) for v in x]
    if x is None or isinstance(x, bool | int | float | str):
        return x
    return f"tensor {tuple(x.shape)}" if isinstance(x, Tensor) else getattr(x, "__qualname__", type(x).__qualname__)
