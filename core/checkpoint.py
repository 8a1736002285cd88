"""The state of a run on disk: tensors as safetensors, the rest as JSON, all under a manifest of sha256 sums.

``checkpoints/step-N/`` is written aside, synced and renamed; a directory by that name is therefore whole. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from .errors import BadLog, StorageError, UsageError
from .plainfile import open_plain
from .rundir import MANIFEST, STATE, TENSORS, dumps, parse, sync_directory, write_new
from .tree import Params

Buffer = bytes | memoryview
TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Nested dictionaries of tensors as one, names joined by "/" (a "/" within a name is escaped)."""
    out: dict[str, Tensor] = {}
    for name, x in tree.items():
        path = f"{prefix}/{_escaped(str(name))}" if prefix else _escaped(str(name))
        if isinstance(x, Tensor):
            out[path] = x.detach().contiguous() if x.is_cpu else x.detach().cpu().contiguous()
        else:
            out |= flatten(x, path)
    return out


@cache
def _escaped(name: str) -> str:
    return quote(name, safe=".")


def unflatten(flat: dict[str, Tensor]) -> dict[str, Any]:
    """The inverse of :func:`flatten` (empty dictionaries are not kept)."""
    tree: dict[str, Any] = {}
    for path, x in flat.items():
        *above, name = (unquote(part) for part in path.split("/"))
        here = tree
        for part in above:
            here = here.setdefault(part, {})
        here[name] = x
    return tree


def save_checkpoint(
    run: Path, step: int, tensors: dict[str, Any], state: dict[str, Any], *, synced: bool = True
) -> Path:
    """Write checkpoints/step-N with nested ``tensors`` and JSON-able ``state``. Raises StorageError.

    Where it is not ``synced`` no kill can lose it but a power cut may: then it does not verify, and an older one wins.
    """
    final = _home(run, step)
    draft = f"{run}/checkpoints/.step-{step}.tmp"
    flat = flatten(tensors)
    files: dict[str, list[Buffer]] = {TENSORS: _encoded(flat), STATE: [dumps(state).encode()]}
    # safetensors sorts: the order, by which players and parameters are counted, is kept here.
    manifest = {"names": list(flat), **{name: _sum(parts) for name, parts in files.items()}}
    try:
        _make(draft)
        files[MANIFEST] = [json.dumps(manifest, indent=2).encode()]
        for name, parts in files.items():
            write_new(f"{draft}/{name}", *parts, synced=synced)
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
    except FileExistsError:  # left by a kill
        _remove(draft)
        os.mkdir(draft)
    except FileNotFoundError:
        os.mkdir(os.path.dirname(draft))  # but not its parents: a run directory that has gone is not made again
        os.mkdir(draft)


def _remove(path: Path | str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)  # a stranger's pipe: a walk through it would never end


def _sum(parts: Iterable[Buffer]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _encoded(flat: dict[str, Tensor]) -> list[Buffer]:
    """The safetensors format: the length of a header, the header as JSON, then the numbers of each tensor.

    Written out because the library's writer takes several times as long: it copies everything twice, and looks for
    shared memory, which a state may well have.
    """
    header: dict[str, Any] = {}
    parts: list[Buffer] = []
    end = 0
    for name in sorted(flat, key=lambda name: -flat[name].element_size()):  # so that all are aligned
        x, start = flat[name], end
        parts.append((x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy().data)  # numpy has no bfloat16
        end += x.nbytes
        header[name] = {"dtype": TYPES[x.dtype], "shape": list(x.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *parts]


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the state of one checkpoint directory. Raises BadLog where a sum does not agree."""
    try:
        manifest = parse(_bytes(path / MANIFEST))
        parts = {name: _bytes(path / name) for name in (TENSORS, STATE)}
        for name, data in parts.items():
            if hashlib.sha256(data).hexdigest() != manifest[name]:
                raise BadLog(f"{path / name} is damaged: its sha256 sum is not the one in {MANIFEST}.")
        flat = load_tensors(parts[TENSORS])
        if sorted(manifest["names"]) != sorted(flat):
            raise BadLog(f"{path / MANIFEST} is damaged: it names other tensors than there are.")
        state = parse(parts[STATE])
        if "step" in state and path.name != f"step-{state['step']}":
            raise BadLog(f"{path} holds the state of step {state['step']}.")
        return unflatten({name: flat[name] for name in manifest["names"]}), state
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadLog(f"{path} is not a whole checkpoint: {error}.") from error


def _bytes(path: Path) -> bytes:
    with open_plain(path) as file:
        return file.read()


def started(run: Path) -> bool:
    """Whether the run has come to its first checkpoint."""
    return bool(_steps(run))


def newest(run: Path) -> Path:
    """The newest checkpoint of a run that verifies. Raises UsageError where there is none."""
    for step in reversed(_steps(run)):
        path = _home(run, step)
        try:
            load_checkpoint(path)
        except BadLog:
            continue
        return path
    raise UsageError(f"{run} has no checkpoint that can be read; give the directory of a run (--out) that was started.")


def prune(run: Path, keep: Callable[[int], bool], last: int = 2) -> None:
    """Remove checkpoints but for the ``last`` ones and those to ``keep``. What cannot be removed stays."""
    for step in _steps(run)[:-last]:
        if not keep(step):
            shutil.rmtree(_home(run, step), ignore_errors=True)


def _home(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step}"


def _steps(run: Path) -> list[int]:
    """Those of all checkpoints, in order: names only, as there may be thousands."""
    try:
        names = os.listdir(run / "checkpoints")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"Could not read {run / 'checkpoints'}: {error.strerror or error}.") from error
    return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-(0|[1-9][0-9]{0,17})", name))


def load_params(run: str | Path) -> Params:
    """The newest saved parameters of a run directory."""
    tensors, _ = load_checkpoint(newest(Path(run)))
    return tensors["params"]


def read_start(path: str | Path) -> Params:
    """Starting parameters from a .safetensors file with names ``player/tensor``, or from a run directory."""
    path = Path(path)
    if path.is_dir():
        return load_params(path)
    try:
        tree = unflatten(load_tensors(path.read_bytes()))
    except FileNotFoundError:
        raise UsageError(
            f"the starting point {path} does not exist; give a .safetensors file or a run directory."
        ) from None
    except (OSError, SafetensorError) as error:
        raise UsageError(f"the starting point {path} is not a readable .safetensors file: {error}.") from None
    tree = tree.get("params", tree)
    if not all(isinstance(t, dict) and all(isinstance(x, torch.Tensor) for x in t.values()) for t in tree.values()):
        raise UsageError(f"the starting point {path} must hold tensors named player/tensor.")
    return tree
