"""Checks that everything registered must pass: ``counterplay check KIND NAME``.

Each check is a function that raises `Broken` with a sentence. Checks run in float64 on small cases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..attribution import raised_at
from ..errors import UsageError
from ..options import options_of
from ..registry.registry import find
from .assertions import Broken, Case, Unready, require
from .datasets import datasets
from .experiments import experiments
from .games import games
from .losses_and_regularizers import losses, regularizers
from .metrics import metrics
from .networks import networks
from .over_processes import over_processes
from .solvers import solvers

_OF_KIND: dict[str, Callable[[Any], Iterator[Case]]] = {  # what a kind must pass besides
    "game": games, "solver": solvers, "loss": losses, "regularizer": regularizers,
    "network": networks, "dataset": datasets, "metric": metrics,
    "experiment": experiments,
}  # fmt: skip


def check(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    ranks: int = 1,
    plugins: Sequence[str] = (),
) -> list[tuple[str, bool, str]]:
    """Run every check of that kind: (name of the check, whether it holds, what is wrong or was seen).

    The thing is made with ``options``. A solver is also played by several processes, if ``ranks`` is more than 1; they
    load the files ``plugins``. Raises UserError if it cannot be tried, as a data set whose files are missing.
    """
    found, results = list(cases(kind, name, options)), []
    if ranks > 1:
        if kind != "solver":
            raise UsageError(f"--ranks is for solvers, which several processes play; {name} is a {kind}.")
        found.append(over_processes({"name": name, **options} if options else name, ranks, plugins))
    for label, run in found:
        try:
            said = run()
        except Unready as why:
            raise why.error from None
        except Broken as error:
            results.append((label, False, str(error)))
        except Exception as error:  # the plugin under test may raise anything, which is then the finding
            where = raised_at(error, find(kind, name).factory)
            results.append((label, False, f"{type(error).__name__}: {error}{where}"))
        else:
            results.append((label, True, said or ""))
    return results


def cases(kind: str, name: str, options: Mapping[str, Any] | None = None) -> Iterator[Case]:
    """Every check of one registered thing, by name, and with other options than the default ones."""
    entry = find(kind, name)
    yield "summary and reference", lambda: _documented(entry)
    yield "options documented", lambda: _options(entry.factory)
    if kind in _OF_KIND:
        yield from _OF_KIND[kind]({"name": name, **options} if options else name)


def _documented(entry: Any) -> None:
    require(entry.summary.strip(), "the entry has no summary: say in one line what it is")
    require(entry.reference.strip(), "the entry has no reference: give authors, year and arXiv id")


def _options(factory: Any) -> None:
    require(dataclasses.is_dataclass(factory), "the factory is not a dataclass; its fields would be the options")
    params = getattr(factory, "__dataclass_params__")  # noqa: B009
    require(params.frozen, "the dataclass is not frozen: an object in use must not change")
    silent = [o.name for o in options_of(factory) if not o.help]
    require(not silent, f"options without a line of help: {', '.join(silent)}")
