"""Many runs in one table: a row for each with its settings, how it ended, its last numbers and its costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.errors import BadLog, StorageError
from ...core.log.brief import COSTS, Brief, brief, brief_of
from ...core.log.sandbox import Sandbox
from ...core.stability.step_sizes import name_of
from ...core.storage.lock import held
from ...core.storage.run_directory import RunDirectory
from ..log.log import Log
from ..settings import differing
from .found_runs import FoundRun, require_known

Row = dict[str, Any]
BELOW = 1e-6  # the norm of v to which runs are compared, where no other is asked for
NOT_RESULTS = ("run", "game", "solver", "seed", "members", "status", "steps")


def run_table(runs: Sequence[FoundRun], below: float = BELOW, sandbox: bool = False) -> list[Row]:
    """A row for each run: column -> number, text or None.

    The columns are run, game, solver, the settings in which the runs differ, seed, members, status, steps,
    gradient_norm (of all players), losses and metrics by name, the costs, and ``NAME_to_BELOW``, the costs at which the
    norm was first below ``below``. Of an ensemble every number is the median over its members.
    """
    reader = Sandbox() if sandbox else None
    # One after another: msgspec crashes where two threads ask for a type that it has not seen yet.
    found = [_of_run(run, below, reader) for run in runs]
    good = [asked.get("experiment", {}) for asked, status, _ in found if not unreadable(status)]
    own = iter(differing(good))
    return [
        _row(run, *facts, {}, below) | {"reason": facts[1]["reason"]}
        if unreadable(facts[1])
        else _row(run, *facts, next(own), below)
        for run, facts in zip(runs, found, strict=True)
    ]


def unreadable(facts: Mapping[str, Any]) -> bool:
    """Whether a row, or a status, is of a log that cannot be read; ``reason`` says why."""
    return facts.get("state", facts.get("status")) == "unreadable"


def table_of_logs(logs: Sequence[Log], below: float = BELOW) -> list[Row]:
    """The same of logs that are open."""
    own = differing([log.experiment for log in logs])
    return [
        _row(FoundRun(log.path, log.name), log.run, log.status, brief_of_log(log, below), settings, below)
        for log, settings in zip(logs, own, strict=True)
    ]


def _of_run(run: FoundRun, below: float, reader: Sandbox | None) -> tuple[dict[str, Any], dict[str, Any], Brief]:
    """run.json, status.json and the log in brief; of a log that cannot be read the reason as its status."""
    directory, whole = RunDirectory(run.path), run.path / "log.h5"
    try:
        if whole.is_file() and (run.path / "run.json").is_file():
            status = directory.status()
            if status.get("state") == "running" and not held(run.path):
                status["state"] = "crashed"
            return directory.run(), status, reader.brief(whole, below) if reader else brief(whole, below)
        log = run.open(reader or False)
        return dict(log.run), dict(log.status), brief_of_log(log, below)
    except (BadLog, StorageError) as error:
        return {}, {"state": "unreadable", "reason": str(error)}, {}


def brief_of_log(log: Log, below: float = BELOW) -> Brief:
    """A log in brief, which may be of a run under way."""
    metrics = [key.partition("/")[2] for key in log if key.startswith("metrics/")]
    return brief_of(lambda key: log[key] if key in log else None, log.players, metrics, below)


def _row(
    run: FoundRun, asked: Mapping[str, Any], status: Mapping[str, Any], found: Brief, settings: Mapping[str, str],
    below: float,
) -> Row:  # fmt: skip
    experiment = asked.get("experiment") or {}
    costs, reached = found.get("costs", {}), found.get("reached") or {}
    row: Row = {"run": run.name, "game": name_of(experiment.get("game")), "solver": name_of(experiment.get("solver"))}
    row |= {key: _value(text) for key, text in settings.items() if key not in row and key != "seed"}
    row |= {"seed": asked.get("seed", experiment.get("seed")), "members": experiment.get("members")}
    row |= {"status": status.get("state"), "steps": costs.get("step", status.get("step"))}
    row |= {"gradient_norm": found.get("gradient_norm")}
    row |= {f"loss_{player}": x for player, x in found.get("losses", {}).items()}
    row |= {name if name not in row else f"metric_{name}": x for name, x in found.get("metrics", {}).items()}
    row |= {name: costs[name] for name in COSTS[1:] if name in costs}
    return row | {f"{name}_to_{below:g}": reached.get(name) for name in COSTS if name in costs}


def _value(text: str) -> Any:
    """A setting as a number where it is one, so that rows can be sorted by it."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column once, each behind the one that it follows in its row."""
    names: list[str] = []
    for row in rows:
        at = 0
        for name in row:
            if name not in names:
                names.insert(at, name)
            at = names.index(name) + 1
    return names


def sorted_by(rows: Sequence[Row], column: str) -> list[Row]:
    """The rows by a column, the least first; rows without a value last. ``-NAME`` turns the order.

    A metric may be named as in conditions, ``metric.NAME``.

    Raises UsageError for a column that no row has.
    """
    known, name = columns_of(rows), column.removeprefix("-")
    name = name.removeprefix("metric.") if name not in known and name.removeprefix("metric.") in known else name
    require_known(name, known, "column")
    with_it = [row for row in rows if row.get(name) is not None]
    key: Callable[[Row], Any] = lambda row: (isinstance(row[name], str), row[name])  # noqa: E731
    ordered = sorted(with_it, key=key, reverse=column.startswith("-"))
    return ordered + [row for row in rows if row.get(name) is None]


def over_seeds(rows: Sequence[Row]) -> list[Row]:
    """A row for the runs that differ in nothing but the seed: medians, with ``_low`` and ``_high`` of the seeds.

    These are the least and the largest of them; a number that one of them lacks is None, as a median of those that
    have it would be too good. ``seeds`` counts the runs, ``converged`` those that did.
    """
    columns = columns_of(rows)
    results = columns[columns.index("steps") :] if "steps" in columns else columns
    fixed = [c for c in columns if c not in (*results, "run", "seed", "status")]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.get(c)) for c in fixed), []).append(row)
    out = []
    for own in groups.values():
        made: Row = {c: own[0].get(c) for c in fixed} | {"seeds": len(own)}
        made["converged"] = sum(row["status"] == "converged" for row in own)
        made["diverged"] = sum(row["status"] == "diverged" for row in own)
        for name in results:
            values = [row.get(name) for row in own]
            numbers = [x for x in values if isinstance(x, int | float)]
            whole = len(numbers) == len(own)
            made[name] = float(np.median(numbers)) if whole else None
            made[f"{name}_low"], made[f"{name}_high"] = (min(numbers), max(numbers)) if whole else (None, None)
        out.append(made)
    return out


def fastest(rows: Sequence[Row], cost: str, below: float = BELOW) -> str:
    """In words: which run first had a norm below ``below``, by ``cost``, and how many did at all.

    "" where the best used nothing of this cost, as runs without products: there is nothing to compare.
    """
    name = f"{cost}_to_{below:g}"
    what, fixed = ("experiments", [c for c in columns_of(rows) if c in rows[0]]) if "seeds" in rows[0] else ("runs", [])
    reached = [row for row in rows if row.get(name) is not None]
    count = f"{len(reached)} of {len(rows)} {what} reached it"
    if not reached:
        return f"No run came to a gradient norm below {below:g}."
    best = min(reached, key=lambda row: float(row[name]))
    if not best[name]:
        return ""
    words = cost.replace("_", " ")
    amount = f"{best[name]:.3g} s" if "seconds" in cost else f"{int(best[name]):,}"
    settings = [c for c in fixed[: fixed.index("seeds")] if len({str(row.get(c)) for row in rows}) > 1] if fixed else []
    name = ", ".join(f"{c} {best[c]}" for c in settings) if settings else best.get("run", "the one experiment")
    return f"Fastest to a gradient norm below {below:g} by {words}: {name} ({amount}; {count})."


def said_fastest(rows: Sequence[Row], below: float = BELOW, wanted: bool = True) -> str:
    """A sentence on the fastest by each cost that the runs counted, each on a line of its own.

    That no run came below it is said only where it was ``wanted``.
    """
    if not wanted and all(row.get(f"step_to_{below:g}") is None for row in rows):
        return ""
    costs = [c for c in ("step", "gradients", "products", "solver_seconds") if f"{c}_to_{below:g}" in columns_of(rows)]
    return "\n".join(filter(None, dict.fromkeys(fastest(rows, cost, below) for cost in costs)))
