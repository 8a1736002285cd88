"""Checkpoints: the state of a run on disk, as safetensors and JSON with a manifest of sha256 sums. No pickle.

``checkpoints/step-N/`` is written under another name, synced and renamed. A directory of that name is therefore
complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import BadLog, StorageError, UsageError
from ..game.tree import Params
from ..storage.atomic import sync_directory, write_new
from ..storage.checkpoint_files import decode, directory_of, is_params, load_params, saved_steps, unflatten
from ..storage.run_directory import MANIFEST, STATE, TENSORS
from ..storage.strict_json import dumps
from .flat_tensors import Data, empty_paths, encoded, flatten


def save_checkpoint(
    run: Path, step: int, tensors: dict[str, Any], state: dict[str, Any], *, synced: bool = True
) -> Path:
    """Write checkpoints/step-N from nested ``tensors`` and from ``state``, which goes to JSON. Raises StorageError.

    If it is not ``synced``, killing the process cannot damage it, but a power cut can. It then fails its checksums, and
    an older one is used.
    """
    final = directory_of(run, step)
    draft = f"{run}/checkpoints/.step-{step}.tmp"
    flat = flatten(tensors)
    files: dict[str, list[Data]] = {
        TENSORS: encoded(flat),
        STATE: [dumps({**state, "empty": empty_paths(tensors)}).encode()],
    }
    # safetensors sorts the names. Their order, which is that of players and parameters, is stored here.
    manifest = {"names": list(flat), **{name: _sha256(contents) for name, contents in files.items()}}
    try:
        _make(draft)
        files[MANIFEST] = [json.dumps(manifest, indent=2).encode()]
        for name, contents in files.items():
            write_new(f"{draft}/{name}", *contents, synced=synced)
        if synced:
            sync_directory(draft)
        if os.path.lexists(final):
            _remove(final)
        os.replace(draft, final)
        if synced:
            sync_directory(final.parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"could not write the checkpoint {final}: {error.strerror or error}.") from error
    return final


def _make(draft: str) -> None:
    try:
        os.mkdir(draft)
    except FileExistsError:  # left behind by a process that was killed
        _remove(draft)
        os.mkdir(draft)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(draft))  # not its parents: if the run directory was deleted, it is not made again
        os.mkdir(draft)


def _remove(path: Path | str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)  # a file, or a pipe


def _sha256(contents: Iterable[Data]) -> str:
    found = hashlib.sha256()
    for data in contents:
        found.update(data)
    return found.hexdigest()


def require_members(path: Path, tensors: dict[str, Any], members: int | None) -> None:
    """Raise BadLog unless a checkpoint has this number of members. Checked first, as memory is allocated by it."""
    rngs = tensors.get("rngs")
    if not isinstance(rngs, dict) or set(rngs) != {str(m) for m in range(min(members or 1, len(rngs) + 1))}:
        has = len(rngs) if isinstance(rngs, dict) else "no"
        raise BadLog(f"{path} has {has} generators, and run.json {members or 1} members.")


def has_checkpoint(run: Path) -> bool:
    """Whether the run has written a checkpoint."""
    return bool(saved_steps(run))


def prune(run: Path, keep: Callable[[int], bool], last: int = 2) -> None:
    """Remove all checkpoints but the ``last`` ones and those of steps to ``keep``. What cannot be removed stays."""
    for step in saved_steps(run)[:-last]:
        if not keep(step):
            shutil.rmtree(directory_of(run, step), ignore_errors=True)


def read_start(path: str | Path) -> Params:
    """Starting parameters, from a run directory or from a .safetensors file with names ``player/tensor``.

    Raises UsageError for anything else.
    """
    path = Path(path)
    if path.is_dir():
        return load_params(path)
    try:
        tree = unflatten(decode(path.read_bytes()))
    except FileNotFoundError:
        raise UsageError(
            f"the starting point {path} does not exist; give a .safetensors file or a run directory."
        ) from None
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise UsageError(f"the starting point {path} is not a readable .safetensors file: {error}.") from None
    tree = tree.get("params", tree)
    if not is_params(tree):
        raise UsageError(f"the starting point {path} must hold tensors named player/tensor.")
    return tree
