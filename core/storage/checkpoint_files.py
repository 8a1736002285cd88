"""Read the files of a checkpoint: their checksums, the names of tensors, the parameters. Without torch too.

Where torch is not installed, tensors are numpy arrays. What writes them is `core.run.checkpoint`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import unquote

from safetensors import SafetensorError

from ..errors import BadLog, StorageError, UsageError
from .json_fields import CheckpointState, Manifest, checked
from .run_directory import MANIFEST, STATE, TENSORS
from .safe_open import open_plain
from .strict_json import parse

_MAX_LEVELS = 32  # of nested dictionaries: more are not accepted from a file


def decode(data: bytes) -> dict[str, Any]:
    """The tensors in the bytes of a safetensors file, on the CPU: torch's, or numpy's where torch is not installed."""
    load: Callable[[bytes], dict[str, Any]]
    if find_spec("torch") is None:
        from safetensors.numpy import load
    else:
        from safetensors.torch import load
    return load(data)


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a/b": tensor} as nested dictionaries. Raises ValueError for names that no checkpoint has."""
    tree: dict[str, Any] = {}
    for path, x in flat.items():
        *above, name = (unquote(part) for part in path.split("/"))
        here: Any = tree
        for part in above:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                break
        if not isinstance(here, dict) or name in here or len(above) >= _MAX_LEVELS:
            raise ValueError(f"{path[:80]!r} cannot stand among the names of the tensors")
        here[name] = x
    return tree


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the state in one checkpoint directory.

    Raises BadLog if a checksum does not match, or if a value is not one that a run writes there.
    """
    flat, state = verified(path)
    try:
        checked(state, path / STATE, CheckpointState)
        return unflatten({**flat, **{name: {} for name in state.pop("empty", ())}}), state
    except ValueError as error:
        raise BadLog(f"{path / MANIFEST}: {error}.") from error


def verified(path: Path) -> tuple[dict[str, Any], Any]:
    """The contents of a checkpoint. Raises BadLog unless all checksums match, and the step is that of its name."""
    try:
        manifest = checked(parse(_bytes(path / MANIFEST)), path / MANIFEST, Manifest)
        files = {name: _bytes(path / name) for name in (TENSORS, STATE)}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != manifest[name]:
                raise BadLog(f"{path / name} is damaged: its sha256 sum is not the one in {MANIFEST}.")
        flat = decode(files[TENSORS])
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


def newest(run: Path) -> Path:
    """The newest checkpoint of a run whose checksums match. Raises UsageError if there is none."""
    for step in reversed(saved_steps(run)):
        path = directory_of(run, step)
        try:
            verified(path)
        except BadLog:
            continue
        return path
    raise UsageError(f"{run} has no checkpoint that can be read; give the directory of a run (--out) that was started.")


def directory_of(run: Path, step: int) -> Path:
    """The directory of the checkpoint of ``step``, whether it exists or not."""
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


def load_params(run: str | Path, step: int | None = None) -> dict[str, dict[str, Any]]:
    """The parameters in a run's checkpoint of ``step``, by default in the newest one: {player: {name: tensor}}.

    The tensors are torch's, on the CPU; where torch is not installed they are numpy arrays. Raises UsageError if there
    is no such checkpoint, BadLog if it is damaged: an older one is never read in its place.
    """
    path = Path(run)
    if step is None:
        good = newest(path)
        if (last := directory_of(path, saved_steps(path)[-1])) != good:
            raise BadLog(
                f"The newest checkpoint, {last}, is damaged. The newest that can be read is {good.name}: "
                f"load_params({str(run)!r}, step={good.name.removeprefix('step-')})."
            )
        return saved_params(good)
    if step not in (steps := saved_steps(path)):
        known = f"those of steps {', '.join(map(str, steps[-10:]))}" if steps else "none at all"
        raise UsageError(f"{run} has no checkpoint of step {step!r:.80}: the newest are {known}.")
    return saved_params(directory_of(path, step))


def saved_params(checkpoint: Path) -> dict[str, dict[str, Any]]:
    """The parameters in one checkpoint directory. Raises BadLog if it holds none."""
    tree = load_checkpoint(checkpoint)[0].get("params")
    if not is_params(tree):
        raise BadLog(f"{checkpoint} holds no parameters of players.")
    return tree


def is_params(tree: Any) -> TypeGuard[dict[str, dict[str, Any]]]:
    """Whether ``tree`` is {player: {name: tensor}}."""
    trees = list(tree.values()) if isinstance(tree, dict) else []
    leaves = [x for t in trees for x in (t.values() if isinstance(t, dict) else [None])]
    return bool(leaves) and all(hasattr(x, "shape") and hasattr(x, "dtype") for x in leaves)
