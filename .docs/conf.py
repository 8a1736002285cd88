"""Sphinx's settings. ``sphinx-build -W .docs .docs/_build`` makes every generated page first, then the site.

Notebooks are run by myst-nb, and what they show is kept with the sources' digest, as that of all examples is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / ".typing"), str(DOCS)]  # what is documented is this clone, installed or not
os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path[:2]), "COUNTERPLAY_NO_PLUGINS": "1"}  # also in other processes

from make import docstrings, examples, kept  # noqa: E402

import counterplay  # noqa: E402

project = "counterplay"
author = "counterplay developers"
copyright = "counterplay developers; MIT licence"
release = version = counterplay.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.copy_overwrite"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(kept.GENERATED / "notebooks" / kept.sources()[:16])  # the digest of what is there now
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
exclude_patterns = ["_build", "conftest.py", "generated/examples", "generated/notebooks", "generated/scaling"]
html_theme = "furo"
html_title = "counterplay"
html_copy_source = False
html_show_sourcelink = False
default_role = "code"  # docstrings write `name`
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
toc_object_entries = False


def generate(app: Sphinx) -> None:
    """Make pages, pictures and the results of examples, in a process whose torch and matplotlib are its own."""
    subprocess.run([sys.executable, "-m", "make"], cwd=DOCS, check=True)


def with_outputs(app: Sphinx, page: str, source: list[str]) -> None:
    """Write under an example what it printed."""
    source[0] = examples.with_outputs(page, source[0])


def with_definitions(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn the tables of docstrings, "name    meaning", into definition lists."""
    lines[:] = docstrings.with_definitions(lines)


def setup(app: Sphinx) -> None:
    """Connect them."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-docstring", with_definitions)
    app.connect("source-read", with_outputs)
