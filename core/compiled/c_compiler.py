"""Compile C source and load it as a function of this process, with the C compiler of the machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

# -ffp-contract=off: a * b + c is rounded twice, as in torch. No flag may reorder sums or depend on the processor.
FLAGS = ("-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-w")
SECONDS = 120.0
LONG = 200_000  # characters of source above which -O1 is used, as the time of -O2 grows faster than the length


class Uncompilable(Exception):
    """The source could not be compiled; the message says why."""


def compiler() -> str | None:
    """The path of the C compiler: $CC, else cc, gcc or clang; None where none is found."""
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def compile_c(source: str, function: str) -> Any:
    """Compile ``source`` and return its C ``function``. Raises Uncompilable."""
    cc = compiler()
    if cc is None:
        raise Uncompilable("there is no C compiler here (cc, gcc or clang, or $CC)")
    try:
        with tempfile.TemporaryDirectory(prefix="counterplay-") as folder:
            written, library = Path(folder, "step.c"), Path(folder, "step.so")
            written.write_text(source, encoding="ascii")
            optimise = "-O1" if len(source) > LONG else "-O2"
            command = [cc, optimise, *FLAGS, str(written), "-o", str(library), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                raise Uncompilable(f"{cc} did not compile it: {done.stderr.strip().partition(chr(10))[0]}")
            return getattr(ctypes.CDLL(str(library)), function)  # stays loaded after the file is deleted
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Uncompilable(f"{cc} could not be used: {error}") from error
