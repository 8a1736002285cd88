"""The page on the log's format, from the table that writer and reader share."""

from __future__ import annotations

from counterplay.core.log import schema

from . import kept

HEAD = f"""# Variables of a log

This page is made from the table that the writer and the reader of logs share (version {schema.VERSION} of the format).
[The log format](../log-format.md) explains what surrounds these variables.

The first axis of a group counts its rows. The axis `member` is there in ensembles only. A variable is in a log only if
the run measured it. Types are numpy's: `<f8` is a double, `<i8` a whole number, `<c16` a complex number,
`i1` a small whole number.
"""


def write() -> None:
    """Write the page."""
    lines = [HEAD]
    for group, variables in schema.GROUPS.items():
        if not variables:
            continue
        lines += [f"## `/{group}`", "", "| name | axes | type | unit | meaning |", "|---|---|---|---|---|"]
        for v in variables.values():
            codes = f" ({', '.join(f'{n}: {flag}' for n, flag in enumerate(v.flags))})" if v.flags else ""
            meaning = _cell(v.long_name + codes)
            lines.append(f"| `{v.name}` | {', '.join(v.dims)} | `{v.dtype.replace('|', '')}` | {v.units} | {meaning} |")
        lines.append("")
    lines += ["## `/metrics`", "", "One variable for each figure that the game's metrics give, as a double.", ""]
    lines += ["## Axes", "", "| axis | its coordinate |", "|---|---|"]
    lines += [f"| `{axis}` | {_cell(meaning)} |" for axis, meaning in schema.AXES.items()]
    lines += ["", "## Counts", "", "Rows that have fewer entries than the longest are filled with NaN. The counts:", ""]
    lines += ["| variable | counted by |", "|---|---|"]
    lines += [f"| `{name}` | `{count}` |" for name, count in schema.COUNTS.items()]
    lines += ["", "## States of a run", "", "| `status.json` | meaning |", "|---|---|"]
    lines += [f"| `{state}` | {_cell(meaning)} |" for state, meaning in schema.RUN_STATES.items()]
    kept.write(kept.GENERATED / "log-variables.md", "\n".join(lines) + "\n")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<").replace("*", r"\*")
