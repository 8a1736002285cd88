"""Walks through nested dictionaries, lists and tuples, in the order of their entries.

Any mapping counts as a dictionary. ``torch.utils._pytree`` is not used here, because it takes mappings that it does not
know, such as the batch of a tokenizer, for leaves; the digest of a batch would then leave out the numbers in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def items(x: Any) -> Iterable[tuple[str, Any]] | None:
    """The entries of ``x`` with their names; those of a list or tuple are named by number. None: ``x`` is a leaf."""
    if isinstance(x, Mapping):
        return x.items()
    return ((str(n), v) for n, v in enumerate(x)) if isinstance(x, list | tuple) else None


def leaves(x: Any) -> Iterator[Any]:
    """All leaves of ``x``; ``x`` itself if it is one."""
    if (entries := items(x)) is None:
        yield x
    else:
        for _, v in entries:
            yield from leaves(v)


def paths(x: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of ``x`` with its path, the names on the way to it joined by "/"."""
    if (entries := items(x)) is None:
        yield above, x
    else:
        for k, v in entries:
            yield from paths(v, f"{above}/{k}" if above else str(k))
