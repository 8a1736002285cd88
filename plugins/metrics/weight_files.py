"""Files of weights: read with their sha256 sum, and kept in a folder of the user's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ...core.errors import BadData, StorageError, UsageError
from ...core.storage.atomic import write_atomic
from ...core.storage.strict_json import dumps, parse

FACTS = "counterplay"  # one entry of the metadata, since safetensors writes several in any order

Read = tuple[dict[str, Tensor], str, dict[str, str]]
"""Weights by name, the sha256 sum of their file, and what the file says of itself."""


def folder() -> Path:
    """The folder of what can be computed again: $XDG_CACHE_HOME/counterplay, or ~/.cache/counterplay."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "counterplay"  # as the XDG specification says


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a file that the user names, of which ``what`` is the name in words. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror or error}.") from error


def read_weights(path: Path) -> Read:
    """The weights in a file of safetensors. Raises UsageError if it cannot be read, BadData if it is damaged."""
    data = read_bytes(path, "the extractor's file")
    try:
        size = int.from_bytes(data[:8], "little")
        facts = parse(parse(data[8 : 8 + size].decode()).get("__metadata__", {}).get(FACTS, "{}"))
        return load(data), hashlib.sha256(data).hexdigest(), facts
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise BadData(f"{path} is damaged, or not a file of safetensors: {error}.") from error


def keep(key: str, weights: Mapping[str, Tensor], facts: Mapping[str, str]) -> Read:
    """Write weights to the folder, under a name that has their sum, and return them as they are found there.

    Where the folder cannot be written, nothing is kept.
    """
    data = save(dict(weights), {FACTS: dumps(dict(facts), indent=None)})
    sha256 = hashlib.sha256(data).hexdigest()
    with contextlib.suppress(OSError, StorageError):
        folder().mkdir(parents=True, exist_ok=True)
        write_atomic(folder() / f"{key}-{sha256}.safetensors", data)
    return find_kept(key, facts) or (dict(weights), sha256, dict(facts))


def find_kept(key: str, facts: Mapping[str, str]) -> Read | None:
    """The first whole file of this key in the folder that says these ``facts`` of itself; None without one."""
    for path in sorted(folder().glob(f"{key}-*.safetensors")):
        named = re.fullmatch(rf"{key}-([0-9a-f]{{64}})", path.stem)
        with contextlib.suppress(UsageError, BadData):
            weights, sha256, metadata = read_weights(path)
            if named and sha256 == named[1] and facts.items() <= metadata.items():
                return weights, sha256, metadata
    return None
