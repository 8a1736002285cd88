"""Checkpoints: the state of a run on disk, as safetensors and JSON with a manifest of sha256 sums. No pickle.

``checkpoints/step-N/`` is written under another name, synced and renamed. A directory of that name is therefore
complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeGuard

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from ..errors import BadLog, StorageError, UsageError
from ..game.tree import Params
from ..storage.atomic import sync_directory, write_new
from ..storage.json_fields import CheckpointState, Manifest, checked
from ..storage.run_directory import MANIFEST, STATE, TENSORS
from ..storage.safe_open import open_plain
from ..storage.strict_json import dumps, parse
from .flat_tensors import Data, empty_paths, encoded, flatten, unflatten


def save_checkpoint(
    run: Path, step: int, tensors: dict[str, Any], state: dict[str, Any], *, synced: bool = True
) -> Path:
    """Write checkpoints/step-N from nested ``tensors`` and from ``state``, which goes to JSON. Raises StorageError.

    If it is not ``synced``, killing the process cannot damage it, but a power cut can. It then fails its checksums, and
    an older one is used.
    """
    final = _directory_of(run, step)
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


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the state in one checkpoint directory.

    Raises BadLog if a checksum does not match, or if a value is not one that a run writes there.
    """
    flat, state = _verified(path)
    try:
        checked(state, path / STATE, CheckpointState)
        return unflatten({**flat, **{name: {} for name in state.pop("empty", ())}}), state
    except ValueError as error:
        raise BadLog(f"{path / MANIFEST}: {error}.") from error


def _verified(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The contents of a checkpoint. Raises BadLog unless all checksums match, and the step is that of its name."""
    try:
        manifest = checked(parse(_bytes(path / MANIFEST)), path / MANIFEST, Manifest)
        files = {name: _bytes(path / name) for name in (TENSORS, STATE)}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != manifest[name]:
                raise BadLog(f"{path / name} is damaged: its sha256 sum is not the one in {MANIFEST}.")
        flat = load_tensors(files[TENSORS])
        if sorted(manifest["names"]) != sorted(flat):
            raise BadLog(f"{path / MANIFEST} is damaged: it names other tensors than there are.")
        state = parse(files[STATE])
        if isinstance(state, dict) and "step" in state and path.name != f"step-{state['step']}":
            raise BadLog(f"{path} holds the state of step {state['step']!r}.")
        return {name: flat[name] for name in manifest["names"]}, state
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadLog(f"{path} is not a whole checkpoint: {error}.") from error


def _bytes(path: Path) -> bytes:
    with open_plain(path) as file:
        return file.read()


def require_members(path: Path, tensors: dict[str, Any], members: int | None) -> None:
    """Raise BadLog unless a checkpoint has this number of members. Checked first, as memory is allocated by it."""
    rngs = tensors.get("rngs")
    if not isinstance(rngs, dict) or set(rngs) != {str(m) for m in range(min(members or 1, len(rngs) + 1))}:
        has = len(rngs) if isinstance(rngs, dict) else "no"
        raise BadLog(f"{path} has {has} generators, and run.json {members or 1} members.")


def has_checkpoint(run: Path) -> bool:
    """Whether the run has written a checkpoint."""
    return bool(saved_steps(run))


def newest(run: Path) -> Path:
    """The newest checkpoint of a run whose checksums match. Raises UsageError if there is none."""
    for step in reversed(saved_steps(run)):
        path = _directory_of(run, step)
        try:
            _verified(path)
        except BadLog:
            continue
        return path
    raise UsageError(f"{run} has no checkpoint that can be read; give the directory of a run (--out) that was started.")


def prune(run: Path, keep: Callable[[int], bool], last: int = 2) -> None:
    """Remove all checkpoints but the ``last`` ones and those of steps to ``keep``. What cannot be removed stays."""
    for step in saved_steps(run)[:-last]:
        if not keep(step):
            shutil.rmtree(_directory_of(run, step), ignore_errors=True)


def _directory_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step}"


def saved_steps(run: Path) -> list[int]:
    """The steps of all checkpoints, in order. Only names are read, as there may be thousands."""
    try:
        names = os.listdir(run / "checkpoints")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"Could not read {run / 'checkpoints'}: {error.strerror or error}.") from error
    return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-(0|[1-9][0-9]{0,17})", name))


def load_params(run: str | Path, step: int | None = None) -> Params:
    """The parameters in a run's checkpoint of ``step``, by default in the newest one.

    Raises UsageError if there is no such checkpoint, BadLog if it is damaged.
    """
    path = Path(run)
    if step is None:
        return saved_params(newest(path))
    if step not in (steps := saved_steps(path)):
        known = f"those of steps {', '.join(map(str, steps[-10:]))}" if steps else "none at all"
        raise UsageError(f"{run} has no checkpoint of step {step!r:.80}: the newest are {known}.")
    return saved_params(_directory_of(path, step))


def saved_params(checkpoint: Path) -> Params:
    """The parameters in one checkpoint directory. Raises BadLog if it holds none."""
    tree = load_checkpoint(checkpoint)[0].get("params")
    if not _is_params(tree):
        raise BadLog(f"{checkpoint} holds no parameters of players.")
    return tree


def read_start(path: str | Path) -> Params:
    """Starting parameters, from a run directory or from a .safetensors file with names ``player/tensor``.

    Raises UsageError for anything else.
    """
    path = Path(path)
    if path.is_dir():
        return load_params(path)
    try:
        tree = unflatten(load_tensors(path.read_bytes()))
    except FileNotFoundError:
        raise UsageError(
            f"the starting point {path} does not exist; give a .safetensors file or a run directory."
        ) from None
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise UsageError(f"the starting point {path} is not a readable .safetensors file: {error}.") from None
    tree = tree.get("params", tree)
    if not _is_params(tree):
        raise UsageError(f"the starting point {path} must hold tensors named player/tensor.")
    return tree


def _is_params(tree: Any) -> TypeGuard[Params]:
    """Whether ``tree`` is {player: {name: tensor}}."""
    trees = list(tree.values()) if isinstance(tree, dict) else []
    leaves = [x for t in trees for x in (t.values() if isinstance(t, dict) else [None])]
    return bool(leaves) and all(isinstance(x, Tensor) for x in leaves)
