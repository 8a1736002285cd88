"""Third parties' modules, as tests write them."""

from __future__ import annotations

HEAD = """\
import sys
from dataclasses import dataclass
import counterplay as cp
from counterplay import Entry, hookimpl

@dataclass(frozen=True)
class Mine(cp.Composed):
    "v, as simgd has it."
    gamma: float = cp.option(0.5, "nothing")

"""


def solver(name: str) -> str:
    """Source that registers ``Mine`` by that name."""
    return f"""\
@hookimpl
def register_solvers():
    return [Entry({name!r}, Mine, "mine", "Me 2024")]
"""


FILE = HEAD + solver("filed")
