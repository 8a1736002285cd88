"""Everything that can go wrong through no fault of counterplay, with the exit code each one ends a command in.

A message is one or two sentences: what was given, what was expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Base of all errors a user, a plugin or the machine can cause; shown without a traceback."""

    exit_code: int = 2


class UsageError(UserError):
    """A name, option, type, shape or combination that cannot be used as given."""

    exit_code = 2


class PluginError(UserError):
    """A plugin that cannot be loaded or breaks its contract; ``module`` is where its code is, if that is known."""

    exit_code = 3

    def __init__(self, message: str, module: str = "") -> None:
        super().__init__(message)
        self.module = module


class Stale(PluginError):
    """Losses that read what changed, and nobody saw: what was computed from step ``since`` on cannot be trusted."""

    def __init__(self, message: str, module: str, since: int) -> None:
        super().__init__(message, module)
        self.since = since


class Diverged(UserError):
    """A run stopped because a loss, gradient or parameter was no longer finite or passed the blow-up bound."""

    exit_code = 10


class NotConverged(UserError):
    """A run was asked to converge (``--until``) and ran out of steps first."""

    exit_code = 11


class BadLog(UserError):
    """A log or checkpoint that is damaged, hostile or of an unknown format."""

    exit_code = 65


class Busy(UserError):
    """A run directory another process is writing."""

    exit_code = 73


class StorageError(UserError):
    """A file system that refused to read or write: full, read-only, gone."""

    exit_code = 74


class Interrupted(UserError):
    """A run stopped from outside; it can be resumed."""

    exit_code = 75


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest of ``names``, or a full stop."""

    def folded(name: str) -> str:
        return name.lower().replace("_", "-")

    known = {folded(name): name for name in names}
    near = difflib.get_close_matches(folded(word), known, n=1, cutoff=0.6 if len(word) > 3 else 0.5)
    return f"; did you mean {known[near[0]]!r}?" if near else "."


def printable(text: object) -> str:
    """Return ``text`` without characters that would steer the terminal it is printed on, or turn the line round."""
    return "".join(c if c.isprintable() else "�" for c in str(text))
