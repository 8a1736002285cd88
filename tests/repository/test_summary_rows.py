"""Every row of a summary is explained in the documentation."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

from counterplay.analysis.commands import summary
from counterplay.core.stability import verdict_text

PAGE = Path(__file__).parents[2] / ".docs" / "concepts" / "summary.md"


def test_every_row_of_a_summary_is_explained() -> None:
    explained = set(re.findall(r"\*\*(.+?)\*\*", PAGE.read_text(encoding="utf-8")))
    labels = {label for module in (summary, verdict_text) for label in _labels(module)} | {"spectral radius of F'"}
    labels |= {cost.replace("_", " ") for cost in summary.COSTS}
    labels |= {f"{what} of PLAYER" for what in ("loss", "gradient norm", "parameter norm")}
    assert "kind of point" in labels and "worst inner residual" in labels
    assert labels == explained


def _labels(module: ModuleType) -> set[str]:
    """The keys of the functions that make rows, in the code of a module, and of its table of labels."""
    found = set(getattr(module, "_LABELS", {}).values())
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.FunctionDef) and node.name in ("rows", "_spectrum_rows", "lines"):
            tables = [x for x in ast.walk(node) if isinstance(x, ast.Dict) and len(x.keys) > 3]
            keys = [key for table in tables for key in table.keys]
            keys += [x.slice for x in ast.walk(node) if isinstance(x, ast.Subscript) and isinstance(x.ctx, ast.Store)]
            found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return found
