"""In what the experiments of several runs differ, in words short enough for a legend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.errors import printable
from ..settings import differing

_ASKED = ("game", "solver", "seed")
_LONG = 24  # characters of a value, as of the step sizes of an ensemble

Options = Mapping[str, Any]


def differences(asked: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each experiment the settings of game and solver, the regularizers and the seed that not all have."""
    plain = differing([{key: one[key] for key in _ASKED if key in one} for one in asked])
    seeds = [[_word("seed", one.pop("seed"))] if "seed" in one else [] for one in plain]
    added = [_regularizers(one.get("regularizers")) for one in asked]
    names = [name for name in dict.fromkeys(n for one in added for n in one) if _differ(name, added)]
    return [
        [_word(*item) for item in own.items()] + [_named(n, one.get(n), _differ(n, added)) for n in names] + seed
        for own, one, seed in zip(plain, added, seeds, strict=True)
    ]


def _regularizers(listed: Any) -> dict[str, Options]:
    """name -> options; the second of one name is named by its place."""
    found: dict[str, Options] = {}
    for one in listed if isinstance(listed, list) else []:
        options = one if isinstance(one, Mapping) else {"name": one}
        name = printable(str(options.get("name")))
        place = 1 + sum(key.partition("#")[0] == name for key in found)
        found[name if place == 1 else f"{name}#{place}"] = options
    return found


def _differ(name: str, added: Sequence[Mapping[str, Options]]) -> list[str]:
    """The options of a regularizer in which the runs that have it differ, and "" if some do not have it."""
    have = [one[name] for one in added if name in one]
    keys = dict.fromkeys(key for one in have for key in one)
    apart = [key for key in keys if any(one.get(key) != have[0].get(key) for one in have)]
    return apart + [""] * (len(have) < len(added))


def _named(name: str, options: Options | None, apart: Iterable[str]) -> str:
    if options is None:
        return f"no {name}"
    words = ", ".join(_word(key, options[key]) for key in apart if key in options)
    return f"{name}({words})" if words else name


def _word(key: str, value: Any) -> str:
    text = printable(str(value)).replace('"', "")  # of the names of players
    text = re.sub(r"\d+\.\d{6,}", lambda found: f"{float(found[0]):.5g}", text)
    return f"{key}={text if len(text) <= _LONG else f'{text[: _LONG - 1]}…'}"
