"""A run's directory: what was asked (run.json), where it stands (status.json), files replaced whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from .errors import BadLog, StorageError, UsageError
from .lock import NAME, acquire, held
from .plainfile import read_plain
from .records import Run, Status, checked

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"  # the files of a checkpoint
_BREAKS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
_MAX_DEPTH = 32
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DRAFT = ".run.json.tmp"  # what a kill at the very beginning leaves: nothing was asked yet
_MAX_JSON = 16 << 20  # a run.json larger than this is not one of ours


def write_atomic(path: Path | str, data: bytes | Iterable[bytes]) -> Path:
    """Write ``data`` to ``path`` so that a reader, or a crash at any moment, finds the old file or the new one whole.

    ``data`` may come in parts, of which there may be more than the memory holds. Raises StorageError naming the path
    where the file system refuses.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.tmp")  # never ends in .h5: no reader takes a draft for a block
    try:
        draft.unlink(missing_ok=True)  # a stranger's directory may have a link there, to a file of the user's
        write_new(draft, data)
        os.replace(draft, path)
        sync_directory(path.parent)
    except BaseException as error:  # parts may fail to come
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        what = f"there is no directory {path.parent}" if not path.parent.is_dir() else error.strerror or error
        advice = "Free some space or choose another place" if error.errno in _FULL else "Choose another place"
        raise StorageError(f"Could not write {path}: {what}. {advice}.") from error
    return path


def write_new(path: Path | str, *parts: bytes | memoryview | Iterable[bytes], synced: bool = True) -> None:
    """Write a new file and, if it is to be ``synced``, see it to the disk."""
    with open(path, "xb") as file:
        for part in parts:
            file.writelines([part] if isinstance(part, (bytes, memoryview)) else part)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def sync_directory(directory: Path | str) -> None:
    """Make a rename last through a power cut (a no-op where directories cannot be opened, as on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON can hold it: NaN and infinities are None, arrays lists, the unknown its repr."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, complex):
        return {"re": plain(value.real), "im": plain(value.imag)}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, os.PathLike) else repr(value)


def dumps(value: Any, indent: int | None = 2) -> str:
    """Return ``value`` as strict, readable JSON, of which no terminal minds any character."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():  # line breaks stand between values only
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def parse(text: str | bytes) -> Any:
    """Return what JSON says. Raises ValueError for what is none, is nested too deep or cannot be printed."""
    try:
        found = json.loads(text, parse_float=_finite, parse_constant=_finite)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair can be printed nowhere
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level = [found]
    for _ in range(_MAX_DEPTH):
        level = [v for x in level if isinstance(x, (dict, list)) for v in (x.values() if isinstance(x, dict) else x)]
    if level:
        raise ValueError("it is nested too deep")
    return found


def _finite(text: str) -> float:
    """A number of JSON, which has neither NaN nor infinities."""
    if not math.isfinite(found := float(text)):
        raise ValueError(f"the number {text:.40} is not finite")
    return found


def loads(path: Path) -> dict[str, Any]:
    """Read a JSON object; a file that is missing is empty, one that is not a JSON object raises BadLog."""
    try:
        found = parse(read_plain(path, _MAX_JSON))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise BadLog(f"{path} is not valid JSON ({error}); restore it or leave it out.") from error
    except OSError as error:
        raise StorageError(f"Could not read {path}: {error.strerror or error}.") from error
    if not isinstance(found, dict):
        raise BadLog(f"{path} holds a {type(found).__name__} where a JSON object was expected.")
    return found


def claim(path: Path) -> IO[str]:
    """Make a directory for a new run and hold it until the file returned is closed: of two runs one gets it.

    Raises Busy where a run is under way there, UsageError where it holds anything else, StorageError if it is refused.
    """
    taken = UsageError(f"{path} exists and is not an empty directory; choose another --out or remove it.")
    try:
        if path.exists() and (not path.is_dir() or _entries(path)):
            if held(path):
                acquire(path).close()  # which says by whom
            raise taken
        path.mkdir(parents=True, exist_ok=True)
        lock = acquire(path)
        if _entries(path):  # another was here a moment ago
            lock.close()
            raise taken
    except OSError as error:
        raise StorageError(f"Could not make the run directory {path}: {error.strerror or error}.") from error
    return lock


def _entries(path: Path) -> list[str]:
    """What is in a directory, but for what a kill at the very beginning leaves."""
    return [p.name for p in path.iterdir() if p.name not in (_DRAFT, NAME)]


class RunDirectory:
    """The files of one run, but for its log and its checkpoints."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, run: Mapping[str, Any]) -> RunDirectory:
        """Make a directory, which nobody else wants, with its run.json."""
        Path(path).mkdir(parents=True, exist_ok=True)
        return cls(path).begin(run)

    def begin(self, run: Mapping[str, Any]) -> RunDirectory:
        """Write run.json into the directory, which was claimed. It is never rewritten."""
        write_atomic(self.path / "run.json", dumps(run).encode())
        return self

    def run(self, kind: type[Run] = Run) -> dict[str, Any]:
        """Return what was asked; {} where there is no run.json. Raises BadLog for what is not of that ``kind``."""
        found = loads(self.path / "run.json")
        return checked(found, self.path / "run.json", kind) if found else {}

    def status(self, kind: type[Status] = Status) -> dict[str, Any]:
        """Return where the run stands; {} before it first said so. Raises BadLog for what is not of that ``kind``."""
        found = loads(self.path / "status.json")
        return checked(found, self.path / "status.json", kind) if found else {}

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What the directory holds that no run writes, by whatever it breaks first, is a BadLog."""
        try:
            yield
        except BadLog as error:  # what a state does not fit knows no path
            if str(self.path) in str(error):
                raise
            raise BadLog(f"{self.path}: {error}") from error
        except UsageError as error:
            raise BadLog(f"{self.path} holds what no run writes: {error}") from error
        except _BREAKS as error:
            what = f"{type(error).__name__}: {error}"
            raise BadLog(
                f"{self.path} holds what no run of this version writes ({what:.200}); it cannot go on."
            ) from error

    def write_status(self, state: str, step: int, reason: str = "", **facts: Any) -> None:
        """Replace status.json. ``state`` is one of ``schema.RUN_STATES``, ``reason`` a sentence."""
        now = time.time()
        started = self.status().get("started_seconds", now)
        known = {"state": state, "step": int(step), "reason": reason, "pid": os.getpid()}
        times = {"started_seconds": started, "updated_seconds": now}
        write_atomic(self.path / "status.json", dumps({**known, **facts, **times}).encode())
