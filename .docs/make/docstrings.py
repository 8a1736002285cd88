"""Docstrings of this project as reStructuredText."""

from __future__ import annotations

import re

ROW = re.compile(r"(\w[\w, ]*?)  +(\S.*)")


def with_definitions(lines: list[str]) -> list[str]:
    """Turn the rows of a table, "name    meaning" with the meaning in one column, into a definition list."""
    out: list[str] = []
    column = 0  # of the meanings; 0 outside a table
    for line in lines:
        if row := ROW.fullmatch(line):
            column = row.start(2)
            out += ["", f"``{row[1]}``", f"    {row[2]}"]
        elif column and line.startswith(" " * column):
            out.append(f"    {line.strip()}")
        else:
            column = 0
            out.append(line)
    return out
