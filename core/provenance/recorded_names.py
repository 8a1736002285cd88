"""The module names that descriptions use for our own classes and functions: those of the first recorded runs.

A resumed run compares the descriptions of its game and solver with those in run.json. Descriptions, and digests of a
user's code, contain names of our modules. When a file of ours moves, these names must stay the same.
"""

from __future__ import annotations

_OWN = __name__.partition(".")[0]
# file -> its name in the first recorded runs
_FORMER = {
    "at_point": "measured",
    "buffers": "kept",
    "checks": "answers",
    "chunk_runner": "leaper",
    "click_types": "arguments",
    "compiled_chunk_runner": "chunks",
    "eigenvalues": "eigen",
    "evaluator": "prepared",
    "given_start": "start",
    "inner_derivatives": "inside",
    "inner_solve": "inner",
    "layers": "networks",
    "load_point": "recall",
    "monitor": "watch",
    "named_part": "by_name",
    "number_format": "numerals",
    "play_orders": "orders",
    "recorder_setup": "recording",
    "remaking": "by_name",
    "reproducibility": "next_step",
    "run_writer": "journal",
    "safe_sqrt": "roots",
    "stackelberg": "leader",
    "step_rules": "rules",
    "stopping": "watch",
    "strict_json": "rundir",
    "structure": "form",
    "system": "competitive",
    "trace_context": "trace_source",
    "transforms": "shaping",
    "typed_values": "values",
    "unreplayable": "fickle",
    "update_map": "update",
    "verdict_text": "words",
}


def recorded_module(module: str) -> str:
    """The name of ``module`` in records: without folders that were added later, and with the first name of its file."""
    top, _, rest = module.partition(".")
    if top != _OWN or not rest.startswith(("core.", "games.", "plugins.", "analysis.")):
        return module
    if rest == "analysis.log.log":
        return f"{top}.analysis.reader"
    *folders, file = rest.split(".")
    return ".".join([top, *folders[: 2 if folders[0] == "plugins" else 1], _FORMER.get(file, file)])
