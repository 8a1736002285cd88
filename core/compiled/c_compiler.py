"""C source to a function of this process, by whatever C compiler the machine has."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

# -ffp-contract=off: a * b + c rounds twice, as torch does it. Nothing here may reorder or depend on the processor.
FLAGS = ("-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-w")
SECONDS = 120.0
LONG = 200_000  # characters from which little is optimised: compilers take more than proportionally long


class Uncompilable(Exception):
    """There is no function; the message says why."""


def compiler() -> str | None:
    """The C compiler: $CC, else cc, gcc or clang, wherever they are; None where there is none."""
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def compile_c(source: str, function: str) -> Any:
    """The C ``function`` in ``source``. Raises Uncompilable."""
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
            return getattr(ctypes.CDLL(str(library)), function)  # stays loaded when the file is gone
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Uncompilable(f"{cc} could not be used: {error}") from error
