"""The errors that a user, a plugin or the machine can cause, and the exit code of a command that ends in each.

A message is one or two sentences: what was given, what was expected, what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """The base of all these errors. They are shown without a traceback."""

    exit_code: int = 2


class UsageError(UserError):
    """A name, option, type, shape or combination that cannot be used as given."""

    exit_code = 2


class PluginError(UserError):
    """A plugin cannot be loaded, fails or breaks its contract. ``module`` names its code; "" if that is not known."""

    exit_code = 3

    def __init__(self, message: str, module: str = "") -> None:
        super().__init__(message)
        self.module = module


class Stale(PluginError):
    """Something that the losses read has changed without being noticed. Results from step ``since`` on may be wrong."""

    def __init__(self, message: str, module: str, since: int) -> None:
        super().__init__(message, module)
        self.since = since


class Diverged(UserError):
    """A run ended because a loss, a gradient or a parameter was not finite, or the blow-up bound was passed."""

    exit_code = 10


class NotConverged(UserError):
    """A run was out of steps or of patience before its condition (``--until``) was met."""

    exit_code = 11


class CellsFailed(UserError):
    """Some cells of a sweep failed. The others are done, and so is the sweep."""

    exit_code = 12


class BadLog(UserError):
    """A log or a checkpoint is damaged, hostile or of an unknown format."""

    exit_code = 65


class OutOfMemory(UserError):
    """The memory of the machine or of a GPU does not hold what was asked for."""

    exit_code = 71


class BadData(UserError):
    """A file of a data set, or of a trained network, is damaged, truncated or of another format."""

    exit_code = 65


class Busy(UserError):
    """Another process is writing in the run directory."""

    exit_code = 73


class StorageError(UserError):
    """The file system cannot read or write a file: it is full, read-only or gone."""

    exit_code = 74


class Interrupted(UserError):
    """A run was stopped from outside, as by Ctrl-C. It can be resumed."""

    exit_code = 75


# in torch's messages, for the memory of the processor and of a GPU
_NO_MEMORY = re.compile(
    "can(?:'t|not) allocate memory|out of memory|not enough memory|STATUS_ALLOC_FAILED|size calculation overflowed",
    re.I,
)


def out_of_memory(error: BaseException, what: str = "") -> OutOfMemory | None:
    """The error to raise in place of ``error`` if it says that memory has run out; None if it does not.

    ``what`` are the words for the part of a run that it was needed for, as in "a step"; "" for others.
    """
    if isinstance(error, OutOfMemory):
        return error
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, of a GPU
    if not named and not (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return None
    where = " of the GPU" if re.search("CUDA|CUBLAS|CUDNN|GPU", str(error)) else ""
    size = re.search(r"allocate (?:another )?(\d[\d.]* (?:[KMGTPE]i?B|bytes))", str(error))
    asked = f", which asked for another {size[1]}" if size else ""
    lower = "the batch, the sizes of the networks (filters, hidden), members, or how often spectra are recorded"
    advice = f"Lower {lower} (spectrum-every)" if what else "Ask for less, or for a machine with more"
    return OutOfMemory(f"there is not enough memory{where} for {what or 'this'}{asked}. {advice}.")


# What others call it: ours. The words of torch, of papers, and of other libraries.
_ELSEWHERE = {
    "learning-rate": "lr", "step-size": "lr", "stepsize": "lr", "eta": "lr", "batch-size": "batch", "bs": "batch",
    "optimizer": "rule", "optimiser": "rule", "momentum": "rule", "betas": "rule", "weight-decay": "rule",
    "latent-dim": "latent", "z-dim": "latent", "nz": "latent", "dataset": "data", "epochs": "steps",
    "iterations": "steps", "max-iter": "steps", "n-steps": "steps",
}  # fmt: skip


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` with the one of ``names`` that is most like ``word``; a full stop if none is."""

    def folded(name: str) -> str:
        return name.lower().replace("_", "-")

    known = {folded(name): name for name in names}
    if (ours := _ELSEWHERE.get(folded(word), "")) in known:
        return f"; did you mean {known[ours]!r}?"
    near = difflib.get_close_matches(folded(word), known, n=1, cutoff=0.6 if len(word) > 3 else 0.5)
    return f"; did you mean {known[near[0]]!r}?" if near else "."


def printable(text: object) -> str:
    """Return ``text`` with a mark in place of each character that a terminal would obey instead of showing it."""
    return "".join(c if c.isprintable() else "�" for c in str(text))
