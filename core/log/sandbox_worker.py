"""The process in which HDF5 reads a stranger's file: it can open nothing, write nothing, and dies before it harms.

Its parent (`sandbox`) sends an open file and a question in JSON, one at a time. The answer is JSON, and the bytes of
the array if there is one.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import math
import os
import resource
import socket
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import recvfds
from typing import Any, BinaryIO

import msgspec
import numpy as np

from ..errors import BadLog, StorageError, UserError
from .brief import brief
from .hdf5 import Table, contents, encode, read
from .schema import GROUPS

_PIPE = 3  # the number by which the pipe to the parent is open here


def serve(handle: int, memory: int) -> None:
    """Answer the questions that come through the pipe ``handle`` until it closes."""
    os.dup2(handle, _PIPE)
    os.closerange(_PIPE + 1, 256)
    _warm()
    _limit(memory)
    parent, files = Connection(_PIPE), socket.socket(fileno=_PIPE)
    parent.send_bytes(b"ready")
    with contextlib.suppress(EOFError):
        while True:
            with os.fdopen(recvfds(files, 1)[0], "rb") as file:
                asked = json.loads(parent.recv_bytes())
                _most("RLIMIT_CPU", math.ceil(time.process_time() + asked["seconds"]), again=True)
                text, data = _answer(asked, file)
            parent.send_bytes(text)
            if data is not None:
                parent.send_bytes(data.reshape(-1).view(np.uint8).data)


def _answer(asked: dict[str, Any], file: BinaryIO) -> tuple[bytes, np.ndarray | None]:
    path = asked["path"]
    try:
        if "below" in asked:
            return msgspec.json.encode({"brief": brief(path, asked["below"], file)}), None
        if "key" not in asked:
            return msgspec.json.encode({"contents": contents(path, file)}), None
        data = np.ascontiguousarray(read(path, asked["key"], asked["start"], asked["stop"], file))
        return msgspec.json.encode({"dtype": data.dtype.str, "shape": data.shape}), data
    except MemoryError:
        error: UserError = BadLog(f"{path} takes more memory than any log of counterplay: it was not read.")
    except OSError as failed:
        error = StorageError(f"Could not read {path}: {failed.strerror or failed}.")
    except UserError as failed:
        error = failed
    return msgspec.json.encode({"error": type(error).__name__, "message": str(error)}), None


def _warm() -> None:
    """Read something once, so that whatever Python imports late is there before no file can be opened any more."""
    variable = GROUPS["step"]["step"]
    table = Table({"step": variable}, {"step": np.arange(3)})
    file = io.BytesIO(encode({"step": table}, {}, {"text": "é"}))
    contents("memory", file)
    brief("memory", 1.0, file)
    np.median(np.zeros((2, 1)), axis=0)
    read("memory", "step/step", 0, 3, file)
    for name in ("ascii", "utf-8", "latin-1"):
        codecs.lookup(name)
    for broken in (b"no HDF5", file.getvalue()[:100]):
        _answer({"path": "memory"}, io.BytesIO(broken))


def _limit(memory: int) -> None:
    _most("RLIMIT_AS", memory)
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC"):
        _most(name, 0)
    _most("RLIMIT_NOFILE", _PIPE + 2)  # the pipe, and the one file that is being read


def _most(name: str, limit: int, again: bool = False) -> None:
    """Set a limit where the system has it and lets it be set; for good, unless it will be set ``again``."""
    if (number := getattr(resource, name, None)) is not None:
        hard = resource.getrlimit(number)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError):
            resource.setrlimit(number, (limit, hard if again else limit))
