"""Strict JSON: written without NaN and infinities, and read with limits of size and depth."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadLog, StorageError
from .safe_open import read_plain

_MAX_DEPTH = 32
_MAX_JSON = 16 << 20  # a run.json larger than this is not one of ours


def json_value(value: Any) -> Any:
    """Return ``value`` as strict JSON can hold it: NaN and infinities become None, arrays lists, other objects text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): json_value(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(v) for v in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return json_value(value.tolist())
    if isinstance(value, complex):
        return {"re": json_value(value.real), "im": json_value(value.imag)}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, os.PathLike) else repr(value)


def dumps(value: Any, indent: int | None = 2) -> str:
    """Return ``value`` as strict, readable JSON without characters that could control a terminal."""
    text = json.dumps(json_value(value), indent=indent, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():  # line breaks are between values only
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is not JSON, is nested too deep or cannot be printed."""
    try:
        found = json.loads(text, parse_float=_finite, parse_constant=_finite)
        json.dumps(found, ensure_ascii=False).encode()  # fails for half a surrogate pair, which cannot be printed
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level = [found]
    for _ in range(_MAX_DEPTH):
        level = [v for x in level if isinstance(x, (dict, list)) for v in (x.values() if isinstance(x, dict) else x)]
    if level:
        raise ValueError("it is nested too deep")
    return found


def _finite(text: str) -> float:
    """Parse a number. JSON has neither NaN nor infinities, though Python's parser accepts them."""
    if not math.isfinite(found := float(text)):
        raise ValueError(f"the number {text:.40} is not finite")
    return found


def loads(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where the file is missing. Raises BadLog where it is not a JSON object."""
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
