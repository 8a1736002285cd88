"""Verify all files of a run: its JSON files, every number of its log, the checksums of every checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...core.errors import BadLog, UsageError, UserError
from ...core.log.blocks import Pieces, blocks_of, pieces_of
from ...core.log.sandbox import Sandbox
from ...core.log.schema import GROUPS, RUN_STATES
from ...core.log.schema_check import Contents, row_ranges
from ...core.storage.json_fields import CheckpointState, FullStatus, Manifest, checked
from ...core.storage.run_directory import MANIFEST, STATE, TENSORS, RunDirectory
from ...core.storage.safe_open import open_plain
from .missing import age, json_of, missing

Found = tuple[bool, str, str]  # whether it is good, what was verified, a remark or the error
_PART = 16 << 20  # bytes read at once


def verify(path: Path, files: Sandbox | None = None) -> Iterator[Found]:
    """Verify a run directory or a lone log file; yield a result for each part. Raises UsageError for other paths."""
    files = Sandbox() if files is None else files
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"There is no {path}; give a run directory or a log file.")
        real = path.resolve() if path.is_symlink() else path
        yield _result(str(path), lambda: _file(files, real))
        return
    whole, blocks = path / "log.h5", blocks_of(path)
    checkpoints = sorted((path / "checkpoints").glob("step-*"), key=age)
    if not (path / "run.json").exists() and not whole.exists() and not blocks:
        raise UsageError(f"{path} is not a run directory: it has no run.json, log.h5 or log/.")
    yield _result(f"{path}/run.json", lambda: _run(path))
    yield _result(f"{path}/status.json", lambda: _status(path))
    log_files = [whole] * whole.exists() + blocks
    found = [_result(str(file), partial(_file, files, file)) for file in log_files]
    yield from found
    if all(good for good, _, _ in found):
        yield _result(f"{path}: the log as a whole", lambda: _log(files, path))
    for checkpoint in checkpoints:
        yield _result(str(checkpoint), partial(_checkpoint, checkpoint))


def _result(thing: str, verified: Callable[[], str]) -> Found:
    try:
        return True, thing, verified()
    except UserError as error:
        return False, thing, str(error)
    except OSError as error:
        return False, thing, f"{thing} cannot be read: {error.strerror or error}."


def _run(path: Path) -> str:
    if "experiment" not in RunDirectory(path).run():
        raise BadLog(f"{path / 'run.json'} does not say what was run: it has no experiment.")
    return ""


def _status(path: Path) -> str:
    found = RunDirectory(path).status(FullStatus)
    if not found:
        raise BadLog(f"{path} has no status.json, which says how its run ended.")
    if found.get("state") not in RUN_STATES:
        raise BadLog(f"{path / 'status.json'} does not say where the run stands: no run is {found.get('state')!r}.")
    return f"{found['state']} at step {found['step']}"


def _file(files: Sandbox, path: Path) -> str:
    """Read every number of one file."""
    found = files.contents(path)
    for key in found.variables:
        for _ in _parts(files, path, found, key):
            pass
    rows = (f"{found.length(group):,} of {group}" for group in GROUPS if found.length(group))
    return f"rows: {', '.join(rows) or 'none'}"


def _parts(files: Sandbox, path: Path, found: Contents, key: str) -> Iterator[np.ndarray]:
    return (files.read(path, key, *ends) for ends in row_ranges(found.shapes[key][0], found.row_bytes(key), _PART))


def _log(files: Sandbox, path: Path) -> str:
    """Check that the files follow each other without a gap, and agree with status.json and the newest checkpoint."""
    if lost := missing(path):
        raise BadLog(lost)
    status = RunDirectory(path).status()
    pieces = pieces_of(path, files)
    last = {group: _increasing(files, pieces, group) for group in GROUPS}
    if status.get("state") in RUN_STATES.keys() - {"running"} and max(last.values()) > status.get("step", 0):
        raise BadLog(f"{path} has rows of step {max(last.values())}, and status.json ends at {status.get('step')}.")
    return f"{len(pieces)} file{'' if len(pieces) == 1 else 's'}, no step missing between them or twice"


def _increasing(files: Sandbox, pieces: Pieces, group: str) -> int:
    last = -1
    for path, found in pieces:
        if f"{group}/step" in found.variables:
            for part in _parts(files, path, found, f"{group}/step"):
                if len(part) and (np.diff(part, prepend=last) <= 0).any():
                    raise BadLog(f"{path} has a step of /{group} twice, or out of order.")
                last = int(part[-1]) if len(part) else last
    return last


def _checkpoint(path: Path) -> str:
    """Compare the checksums of a checkpoint's files with its manifest, and check the fields of its state."""
    sums = checked(json_of(path / MANIFEST), path / MANIFEST, Manifest)
    for name in (TENSORS, STATE):
        with open_plain(path / name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sums[name]:
                raise BadLog(f"{path / name} is damaged: its sha256 sum is not the one in {MANIFEST}.")
    state = checked(json_of(path / STATE), path / STATE, CheckpointState)
    if path.name != f"step-{state.get('step', path.name[5:])}":
        raise BadLog(f"{path} holds the state of step {state['step']}.")
    return ""
