"""Follow a run while it is under way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from ...core.log.sandbox import Sandbox
from ...core.log.schema import GROUPS
from .log import Log, open_log

POLL_SECONDS = 0.5


def follow(path: str | Path) -> Iterator[Log]:
    """Yield the log now, and again whenever new rows were sealed, until the run has ended or its process is gone."""
    files, seen = Sandbox(), None
    while True:
        began = time.monotonic()
        log = open_log(path, sandbox=files)
        going = log.status.get("state") == "running"
        if not going:  # its last rows may have been sealed after the log was opened: open it again
            log = open_log(path, sandbox=files)
        rows = [log.length(group) for group in GROUPS]
        if rows != seen or not going:
            yield log
        if not going:
            return
        seen = rows
        time.sleep(max(POLL_SECONDS, 4 * (time.monotonic() - began)))  # a long log takes time to open
