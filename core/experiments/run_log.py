"""The log of a run as arrays: what a measure reads. It needs a run directory, and no more of it than its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..log.blocks import Pieces, column, pieces_of
from ..storage.run_directory import RunDirectory


class RunLog(Mapping[str, np.ndarray]):
    """A mapping from "group/variable" to arrays, as a log and a history in memory have them.

    Raises BadLog where the log is damaged. It is for runs of one's own: files are read without a sandbox.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pieces: Pieces = pieces_of(path)

    @cached_property
    def _lengths(self) -> dict[str, int]:
        keys = {key for _, found in self._pieces for key in found.variables}
        groups = {key.partition("/")[0] for key in keys}
        lengths = {group: sum(found.length(group) for _, found in self._pieces) for group in groups}
        return {key: lengths[key.partition("/")[0]] for key in sorted(keys)}

    def __getitem__(self, key: str) -> np.ndarray:
        return column(self._pieces, key, 0, self._lengths[key])

    def __contains__(self, key: object) -> bool:
        return key in self._lengths

    def __iter__(self) -> Iterator[str]:
        return iter(self._lengths)

    def __len__(self) -> int:
        return len(self._lengths)

    @cached_property
    def run(self) -> dict[str, Any]:
        """run.json: what was asked, seeds, versions."""
        return RunDirectory(self.path).run()

    @property
    def status(self) -> dict[str, Any]:
        """status.json: where the run stands, and how it ended."""
        return RunDirectory(self.path).status()
