"""What the next step will begin with: whether it comes from the run's state alone, and how a checkpoint notes it.

What a game draws must be a function of the generator and the buffers, or a run is neither repeated nor gone on with
exactly: an iterator over data starts anew, a shuffle of numpy's is another one. Two draws are compared before a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Cost
from ..game.buffers import copied
from ..game.checks import contract_error
from ..game.game import Game, innermost
from ..game.tree import leaves
from ..nested import leaves as leaves_of
from ..nested import paths
from ..solver.state import State
from ..tracing.dependencies import Reads

NOT_ALONE = "its data do not come from the generator alone (inexact-data)"  # what marks such a run's log

_ADVICE = (
    "draw everything from the generator that sample is given, as by torch.randint(n, (batch,), generator=rng); "
    "inexact_data=True (--inexact-data) plays on, and marks the run as one that cannot be repeated or resumed exactly"
)


def digest(batch: Any) -> str:
    """The sha256 sum of a batch: its names, types, shapes and numbers. What is no data counts by its type."""
    found = hashlib.sha256()
    for path, kind, data in sorted(_leaves(batch), key=lambda leaf: leaf[0]):
        found.update(f"{path}\0{kind}\0".encode(errors="surrogatepass"))
        found.update(data)
    return found.hexdigest()


def next_step(game: Evaluator, state: State) -> dict[str, Any]:
    """What the next step will begin with, as a checkpoint notes it.

    ``batch_sha256`` is the digest of what it draws, ``losses`` are every player's losses there, a list of one for each
    member. The losses may read what is neither parameter nor batch, and no checkpoint holds that: but whoever goes on
    can see that it is as it was. What cannot be told is left out.
    """
    found: dict[str, Any] = {}
    game = replace(game, cost=Cost(), trace=False)  # looking costs the solver nothing
    with _tried(), torch.no_grad():  # the step itself will say what is wrong
        buffers = game.refresh(state.params, state.buffers)
        batch = game.draw(state.generators(), buffers)
        if game.game.draws:
            found["batch_sha256"] = digest({k: x for k, x in batch.items() if k not in buffers})
        losses = {i: x.double().reshape(-1).tolist() for i, x in game.losses(state.params, batch).items()}
        if all(math.isfinite(x) for own in losses.values() for x in own):
            found["losses"] = losses
    return found


def changed_since(game: Evaluator, state: State, noted: Mapping[str, Any]) -> list[str]:
    """How the next step will begin otherwise than was ``noted`` of it, in words."""
    found = next_step(game, state)
    if noted.get("batch_sha256", found.get("batch_sha256")) != found.get("batch_sha256"):
        return ["its next batch is another than it was to be: the data, or their order, have changed"]
    close = torch.finfo(leaves(state.params)[0].dtype).eps ** 0.75  # sums have no order that all machines share
    for i, was in noted.get("losses", {}).items():
        now = found.get("losses", {}).get(i, [])
        for x, y in itertools.zip_longest(was, now, fillvalue=math.nan):
            if not math.isclose(x, y, rel_tol=close, abs_tol=close):
                what = "what the losses read besides parameters and batch has changed"
                return [f"the loss of {i} at its last checkpoint was {x:.9g} and is {y:.9g}: {what}"]
    return []


def require_seeded(game: Evaluator, state: State) -> None:
    """Raise PluginError unless two draws from one state of the generator are the same and leave all else alone."""
    if not game.game.draws:
        return
    wrong = alone = None
    inner = innermost(game.game)
    with _tried():  # what cannot be drawn is told by the first step
        buffers = game.member(game.refresh(state.params, state.buffers), 0)
        wrong = _unseeded(game.game, state, buffers)
        alone = _unseeded(inner, state, buffers) if wrong and inner.draws else None
    if wrong:
        raise contract_error(inner if alone else game.game, f"{alone or wrong}: {_ADVICE}")


@contextlib.contextmanager
def _tried() -> Iterator[None]:
    """Whatever a game raises, its sys.exit too, is for its step to tell."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        return


def _unseeded(game: Game, state: State, buffers: Any) -> str | None:
    """What is wrong with how ``game`` samples, in words."""
    again, before = copied(buffers), _global_states()
    try:
        first = _drawn(game, state.generators()[0], copied(buffers))  # which may load and import things
        between = _global_states()
        second = _drawn(game, state.generators()[0], again)
        after = _global_states()
    finally:
        _put_back(before)
    if not all(x is y or (not isinstance(x, Tensor) and x == y) for x, y in _pairs(buffers, again)):
        return "its sample writes to the buffers, which only refresh may renew"
    if changed := next((name for name in between if between[name][0] != after[name][0]), None):
        return f"its sample draws from {changed}"
    path = next((p for p in {**first, **second} if first.get(p) != second.get(p)), None)
    if path is not None:
        what = f"another {path!r}" if path else "another count of random numbers"
        return f"its sample drew {what} the second time, from the same state of the generator"
    if moving := Reads(((game, frozenset({"sample"})),)).moving:  # whose first two may happen to be equal
        label, it = moving[0]
        return f"its sample reads {label}, a {type(it).__name__}, which moves on by itself"
    return None


def _pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    x, y = list(leaves_of(a)), list(leaves_of(b))
    return list(zip(x, y, strict=True)) if len(x) == len(y) else [(x, y)]


def _drawn(game: Game, rng: torch.Generator, buffers: Any) -> dict[str, Any]:
    """What is drawn by path, and under "" where the generator then is."""
    batch = game.sample(rng, buffers)
    if not isinstance(batch, Mapping):
        raise TypeError("a batch is a dictionary")  # as the first step will say
    batch = {k: x for k, x in batch.items() if k not in buffers or x is not buffers[k]}  # which may be all the data
    return {path: rest for path, *rest in _leaves(batch)} | {"": rng.get_state().tolist()}


def _leaves(batch: Any) -> Iterator[tuple[str, str, bytes]]:
    """Every leaf of a batch: its path, its type and shape, and what is in it."""
    for path, x in paths(batch):
        if isinstance(x, Tensor) and x.layout is torch.strided:
            flat = x.detach().cpu().contiguous().reshape(-1)
            flat = torch.view_as_real(flat).reshape(-1) if x.is_complex() else flat
            yield path, f"{x.dtype} {tuple(x.shape)}", flat.view(torch.uint8).numpy().tobytes()
        elif isinstance(x, np.ndarray | np.generic) and x.dtype.kind != "O":
            yield path, f"{x.dtype} {x.shape}", np.ascontiguousarray(x).tobytes()
        else:
            scalar = isinstance(x, bool | int | float | complex | str | bytes | None)
            yield path, type(x).__name__, repr(x).encode(errors="surrogatepass") if scalar else b""


def _global_states() -> dict[str, tuple[Any, Any]]:
    """Random numbers that are everyone's: as what compares, and as what puts them back."""
    torchs, ours = torch.get_rng_state(), random.getstate()
    numpys: Any = np.random.get_state()
    return {
        "torch's global random numbers": (torchs.numpy().tobytes(), torchs),
        "numpy's global random numbers": ((numpys[1].tobytes(), *numpys[2:]), numpys),
        "Python's global random numbers": (ours, ours),
    }


def _put_back(states: dict[str, tuple[Any, Any]]) -> None:
    put: tuple[Any, ...] = torch.set_rng_state, np.random.set_state, random.setstate
    for put_back, (_, state) in zip(put, states.values(), strict=True):
        put_back(state)
