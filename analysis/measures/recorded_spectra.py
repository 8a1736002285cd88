"""The last spectra of a log, for each member, and which part of each spectrum they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.stability.certainty import Known, known
from ..log.log import Log

_FAR = 20  # eigenvalues that logs without a state_size have of a large F', those farthest from 1; of a small F' all


@dataclass(frozen=True)
class Spectra:
    """What is known of J, of the players' own blocks and of F' at one point; None for what was not recorded.

    ``update`` has eigenvalues of F' of largest modulus and eigenvalues farthest from 1. ``leading`` says whether those
    of largest modulus are among them, and the largest of them is certain.
    """

    J: Known
    blocks: dict[str, Known] | None
    update: Known | None
    leading: bool


def last(log: Log, key: str) -> NDArray[Any] | None:
    """The last row of a variable; None where there is none. No other row is read."""
    return log.read(key, -1)[0] if key in log and log.length(key.partition("/")[0]) else None


def sizes_of(log: Log) -> dict[str, int] | None:
    """The number of parameters of each player; None where the log does not say."""
    counts = log.run.get("players")
    if isinstance(counts, Mapping) and set(counts) == set(log.players):
        if all(type(n) is int and 0 <= n < 2**63 for n in counts.values()):
            return {i: counts[i] for i in log.players}
    names = log.labels("parameter")
    own = {i: sum(name.startswith(f"{i}/") for name in names) for i in log.players}
    return own if names and sum(own.values()) == len(names) else None


def jacobian_check(log: Log) -> Any:
    """The result of the run's check of J against differences of v; None where there was no check."""
    checks = log.run.get("checks")
    return checks.get("jacobian") if isinstance(checks, Mapping) else None


def spectra(log: Log) -> list[Spectra] | None:
    """The last recorded spectra of each member, or of the one run; None where there are none."""
    J = _rows(log, "")
    if J is None:
        return None
    sizes = sizes_of(log)
    total = None if sizes is None else sum(sizes.values())
    own, update, far = (_rows(log, prefix) for prefix in ("block_", "update_", "update_far_"))
    state = _state_size(log)
    out = []
    for m in [None] if log.members is None else range(log.members):
        values = known(_of(J, m), total)
        blocks = None
        if own is not None:
            by_player = _of(own, m)
            blocks = {
                i: known({k: x[n] for k, x in by_player.items()}, None if sizes is None else sizes[i])
                for n, i in enumerate(log.players)
            }
        F, leading = None, False
        if update is not None:
            count = int(np.isfinite(_of(update, m)["eigenvalues"]).sum())
            size = _dense(count, total) if state is None else state
            F = known(_of(update, m), size, total or 0, 0.0 if state is not None or size == count else 1.0)
            leading = F.complete is True or (state is not None and F.largest_is_certain)
            F = F if far is None else F.with_others(known(_of(far, m), about=1.0))
        out.append(Spectra(values, blocks, F, leading))
    return out


def _dense(count: int, parameters: int | None) -> int | None:
    """The size of F' in a log without a state_size, if ``count`` shows that all eigenvalues are there; else None."""
    whole = count > _FAR or (parameters is not None and parameters <= count < _FAR)
    return count if whole else None


def _state_size(log: Log) -> int | None:
    found = last(log, "spectrum/state_size")
    return None if found is None or np.max(found) < 1 else int(np.max(found))


def _rows(log: Log, prefix: str) -> dict[str, NDArray[Any]] | None:
    names = ("eigenvalues", "residuals", "status", "errors")
    rows = {name: last(log, f"spectrum/{prefix}{name}") for name in names}
    found = {name: x for name, x in rows.items() if x is not None}
    return found if "eigenvalues" in found else None


def _of(rows: dict[str, NDArray[Any]], member: int | None) -> dict[str, NDArray[Any]]:
    return rows if member is None else {name: x[member] for name, x in rows.items()}
