"""The process in which HDF5 reads a stranger's file: it can open nothing, write nothing, and dies before it harms.

It gets open files from its parent (`sandbox`), one at a time, and answers with JSON and the bytes of arrays.
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
import struct
import time
from typing import Any, BinaryIO

import msgspec
import numpy as np

from ..errors import BadLog, StorageError, UserError
from .hdf5 import Table, contents, encode, read
from .schema import GROUPS

REQUEST = struct.Struct("<I")  # bytes of JSON that follow
ANSWER = struct.Struct("<IQ")  # bytes of JSON, bytes of an array that follow
_SOCKET = 3


def serve(handle: int, memory: int) -> None:
    """Answer the requests that come through the socket ``handle`` until it closes."""
    os.dup2(handle, _SOCKET)
    os.closerange(_SOCKET + 1, 256)
    _warm()
    _limit(memory)
    with socket.socket(fileno=_SOCKET) as parent:
        parent.sendall(ANSWER.pack(0, 0))  # ready
        while True:
            head, handles, _, _ = socket.recv_fds(parent, REQUEST.size, 1)
            if len(head) < REQUEST.size or not handles:
                return
            asked = json.loads(_exactly(parent, REQUEST.unpack(head)[0]))
            _most("RLIMIT_CPU", math.ceil(time.process_time() + asked["seconds"]), again=True)
            with os.fdopen(handles[0], "rb") as file:
                text, data = _answer(asked, file)
            parent.sendall(ANSWER.pack(len(text), 0 if data is None else data.nbytes) + text)
            if data is not None:
                parent.sendall(data.data.cast("B"))


def _answer(asked: dict[str, Any], file: BinaryIO) -> tuple[bytes, np.ndarray | None]:
    path = asked["path"]
    try:
        if "key" not in asked:
            return msgspec.json.encode({"contents": contents(path, file)}), None
        data = np.ascontiguousarray(read(path, asked["key"], asked["start"], asked["stop"], file))
        return msgspec.json.encode({"dtype": data.dtype.str, "shape": data.shape}), data if data.size else None
    except MemoryError:
        error: UserError = BadLog(f"{path} takes more memory than any log of counterplay: it was not read.")
    except OSError as failed:
        error = StorageError(f"Could not read {path}: {failed.strerror or failed}.")
    except UserError as failed:
        error = failed
    return msgspec.json.encode({"error": type(error).__name__, "message": str(error)}), None


def _exactly(parent: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := parent.recv(count - len(data))):
        data += more
    return data


def _warm() -> None:
    """Read something once, so that whatever Python imports late is there before no file can be opened any more."""
    variable = GROUPS["step"]["step"]
    table = Table({"step": variable}, {"step": np.arange(3)})
    file = io.BytesIO(encode({"step": table}, {}, {"text": "é"}))
    contents("memory", file)
    read("memory", "step/step", 0, 3, file)
    for name in ("ascii", "utf-8", "latin-1"):
        codecs.lookup(name)
    for broken in (b"no HDF5", file.getvalue()[:100]):
        _answer({"path": "memory"}, io.BytesIO(broken))


def _limit(memory: int) -> None:
    _most("RLIMIT_AS", memory)
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC"):
        _most(name, 0)
    _most("RLIMIT_NOFILE", _SOCKET + 2)  # the socket, and the one file that is being read


def _most(name: str, limit: int, again: bool = False) -> None:
    """Set a limit where the system has it and lets it be set; for good, unless it will be set ``again``."""
    if (number := getattr(resource, name, None)) is not None:
        hard = resource.getrlimit(number)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError):
            resource.setrlimit(number, (limit, hard if again else limit))
