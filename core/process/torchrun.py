"""What torchrun says to a process that it starts, in the environment."""

from __future__ import annotations

import os

from ..errors import UsageError


def processes() -> int:
    """The number of processes that play together; 1 if torchrun did not start this one. Raises UsageError."""
    given = os.environ.get("WORLD_SIZE", "1")
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"WORLD_SIZE is {given!r:.40}: a number of processes is expected, as torchrun sets it.")
    return int(given)


def several() -> bool:
    """Whether this process is one of several that play together."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def speaks() -> bool:
    """Whether this process writes and prints: the first one does, or the only one."""
    return not several() or os.environ.get("RANK", "0") == "0"
