"""The processes of a run, as torchrun starts them: how they find each other, and what is said when one of them ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ..collective import ProcessLost, Ranks
from ..errors import UsageError
from ..process import torchrun

PATIENCE = timedelta(hours=1)  # a message waits so long: all wait for the first process while it measures and writes
SPEAKS_WITHIN = 3.0  # seconds in which the first process, if it is there, says that another one is lost
_VARIABLES = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_CAUSE, _SAID = "counterplay/cause", "counterplay/said"  # keys of the store that all processes share


def processes(device: str | None) -> Ranks | None:
    """The processes that play this run together; None if there is one. Raises UsageError where they cannot begin.

    ``device`` is the device of the run: with "cuda" each process takes the GPU of its number on its machine.
    """
    count = torchrun.processes()
    if count == 1:
        return None
    if missing := [name for name in _VARIABLES if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE is {count}, but {missing[0]} is not set: start several processes by torchrun "
            f"--nproc-per-node {count} -m counterplay run ..., or unset WORLD_SIZE."
        )
    gpu = device is not None and device.startswith("cuda")
    backend = "nccl" if gpu else "gloo"
    if not dist.is_available() or not dist.is_backend_available(backend):
        raise UsageError(
            f"torch {torch.__version__} is built without {backend}, through which processes talk: play in one process."
        )
    if gpu:
        _take_gpu(str(device))
    if not dist.is_initialized():
        try:
            dist.init_process_group(backend, timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            why = f"{error}".partition("\n")[0]
            raise UsageError(f"the {count} processes of this run do not find each other: {why:.200}") from error
    group: Any = dist.group.WORLD
    return Ranks(dist.get_rank(), dist.get_world_size(), group.group_name, "cuda" if gpu else "cpu")


def _take_gpu(device: str) -> None:
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if device != "cuda":
        raise UsageError(f"device {device}: each of several processes takes a GPU of its own; give cuda, no number.")
    if here > gpus:
        raise UsageError(f"torchrun started {here} processes here, and torch finds {gpus} GPUs: start one for each.")
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextlib.contextmanager
def together(ranks: Ranks | None, directory: Any = None) -> Iterator[None]:
    """A context for what the processes do together: if one fails, the others are told why, and end too.

    The first process writes in ``directory``, if there is one. Raises ProcessLost where another process has ended.
    """
    if ranks is None:
        yield
        return
    try:
        yield
    except ProcessLost as lost:
        if ranks.first or not _first_speaks():
            raise ProcessLost(f"another process of this run has ended{_cause()}{_kept(ranks, directory)}") from lost
        raise ProcessLost("") from lost
    except BaseException as error:
        with contextlib.suppress(RuntimeError):  # the store has gone with the process that kept it
            _store().set(_CAUSE, f"process {ranks.rank}: {type(error).__name__}: {error}"[:500])
        raise


def _kept(ranks: Ranks, directory: Any) -> str:
    """How to go on."""
    if directory is None:
        return "."
    where = shlex.quote(str(directory)) if ranks.first else "DIR"
    again = f"torchrun --nproc-per-node {ranks.count} -m counterplay resume {where}"
    return f"; the last state that was written is kept. Resume: {again}"


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


def _cause() -> str:
    """Why a process has ended, in words, if it could still say so. The first one says that it has heard it."""
    with contextlib.suppress(RuntimeError):
        store = _store()
        store.set(_SAID, "1")
        if store.check([_CAUSE]):
            return f" ({store.get(_CAUSE).decode(errors='replace').rstrip('.')})"
    return " without a word, as when it is killed"


def _first_speaks() -> bool:
    until = time.monotonic() + SPEAKS_WITHIN
    with contextlib.suppress(RuntimeError):
        while time.monotonic() < until:
            if _store().check([_SAID]):
                return True
            time.sleep(0.05)
    return False
