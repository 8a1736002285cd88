"""``make``. The names of all built-in things and their options stand in ``making.pyi``, for editors."""

from .core.registry.registry import make as make
