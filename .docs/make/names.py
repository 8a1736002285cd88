"""The reference of public names, from the list that ``counterplay`` itself reads."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import counterplay

from . import kept

GROUPS = {  # what a reader looks for -> the names, in this order; what is in no group comes last
    "Play": ("make", "run", "resume", "evaluate", "Result", "Evaluated", "load_params", "member_seed"),
    "Look on": ("Every", "Seen", "History", "open_log", "Log", "plots"),
    "Games of your own": ("game_from_losses", "game_from_modules", "Game", "GanGame", "tree"),
    "Look at one point": ("spectrum", "LocalGame", "update_jacobian"),
    "Plugins": (
        "Entry", "hookimpl", "hookspec", "option", "Count", "NonNegative", "Positive", "StepSize", "Setting",
        "Solver", "Composed", "Alternating", "StepInfo", "Memory", "Loss", "GanLoss", "BatchLoss", "Regularizer",
        "Dataset", "Images", "Network", "Metric", "GeneratedImages",
    ),
}  # fmt: skip


def write() -> None:
    """Write the page."""
    public = list(vars(counterplay)["_HOME"])
    grouped = {name for names in GROUPS.values() for name in names}
    errors = [n for n in public if inspect.isclass(x := getattr(counterplay, n)) and issubclass(x, Exception)]
    rest = [name for name in public if name not in grouped and name not in errors]
    lines = ["# Public names", "", "All of `counterplay` that is public, as `import counterplay as cp` gives it.", ""]
    for title, names in (*GROUPS.items(), ("Errors", errors), ("Others", rest)):
        lines += [f"## {title}", ""]
        for name in names:
            lines += _entry(name)
    kept.write(kept.GENERATED / "names.md", "\n".join(lines))


def _entry(name: str) -> list[str]:
    thing = getattr(counterplay, name)
    if inspect.ismodule(thing):
        kind, options = f"automodule:: {thing.__name__}", ["   :members:"]
    elif inspect.isclass(thing) and thing.__module__.startswith("counterplay"):
        kind, options = f"autoclass:: counterplay.{name}", [] if issubclass(thing, Exception) else ["   :members:"]
    elif inspect.isfunction(thing):
        kind, options = f"autofunction:: counterplay.{name}", []
    else:
        return _assigned(name)
    return ["```{eval-rst}", f".. {kind}", *options, "```", ""]


def _assigned(name: str) -> list[str]:
    """The entry of a name that stands for a type or a value: how it is assigned, and the string after it."""
    if name == "__version__":
        return ["```{eval-rst}", ".. py:data:: counterplay.__version__", "", "   The version, a string.", "```", ""]
    home = vars(counterplay)["_HOME"][name]
    body = ast.parse(Path(import_module(home, "counterplay").__file__ or "").read_text(encoding="utf-8")).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            value = f"   :value: {ast.unparse(node.value)}"
            return ["```{eval-rst}", f".. py:data:: counterplay.{name}", value, "", f"   {said}", "```", ""]
    raise LookupError(f"{name} is assigned nowhere in {home}")
