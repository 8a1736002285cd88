"""The names under which descriptions know modules of ours: those that they had when runs first recorded them.

A run that goes on knows its game and its solver by their descriptions, in which classes and functions of ours stand by
module, also inside digests of a user's code. Where a file of ours moves, records and what is compared with them must
not tell.
"""

from __future__ import annotations

_OWN = __name__.partition(".")[0]
# file -> what it was called at first
_FORMER = {
    "at_point": "measured",
    "buffers": "kept",
    "checks": "answers",
    "eigenvalues": "eigen",
    "evaluator": "prepared",
    "inner_derivatives": "inside",
    "inner_solve": "inner",
    "layers": "networks",
    "monitor": "watch",
    "play_orders": "orders",
    "safe_sqrt": "roots",
    "stackelberg": "leader",
    "step_rules": "rules",
    "stopping": "watch",
    "strict_json": "rundir",
    "structure": "form",
    "system": "competitive",
    "transforms": "shaping",
    "untouched": "intact",
    "update_map": "update",
}


def recorded_module(module: str) -> str:
    """``module`` as records have it: without the folders that came later, by its file's first name."""
    top, _, rest = module.partition(".")
    if top != _OWN or not rest.startswith(("core.", "games.", "plugins.", "analysis.")):
        return module
    if rest == "analysis.log.log":
        return f"{top}.analysis.reader"
    *folders, file = rest.split(".")
    return ".".join([top, *folders[: 2 if folders[0] == "plugins" else 1], _FORMER.get(file, file)])
