"""counterplay: differentiable games played, recorded and measured.

Nothing is imported before it is used: ``counterplay --help`` needs no torch, and a log can be read without it. The
public names, and where each of them comes from, stand in ``__init__.pyi`` beside this file.
"""

from importlib import import_module
from typing import Any

with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as _stub:  # lines "from .module import name as name"
    _HOME = {words[3]: words[1] for words in map(str.split, _stub) if words[:1] == ["from"]}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'counterplay' has no attribute {name!r}")
    need = import_module(".core.requirements", __name__).imported
    home = need(f"{__name__}{_HOME[name]}")
    value = getattr(home, name) if hasattr(home, name) else need(f"{home.__name__}.{name}")
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
