"""`pytest .docs --nbmake` plays the examples of the pages and the notebooks."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / ".typing"), str(DOCS)]  # as conf.py has it

from make import examples  # noqa: E402

pytest_collect_file = examples.SYBIL.pytest()
collect_ignore = ["_build", "generated", "make", "conf.py"]
