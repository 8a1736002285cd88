"""What the next step will draw and see: whether that follows from the state of the run, and a record of it.

What a game draws must be a function of its generator and its buffers. Otherwise a run can be neither repeated nor
resumed exactly: an iterator over data would start again, and numpy would shuffle in another order. So two draws from
the same state are compared before a run begins; and every checkpoint records what comes next, which resume compares.
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

INEXACT_DATA = "its data do not come from the generator alone (inexact-data)"  # the mark in the log of such a run

_ADVICE = (
    "draw everything from the generator that sample is given, as by torch.randint(n, (batch,), generator=rng); "
    "inexact_data=True (--inexact-data) plays on, and marks the run as one that cannot be repeated or resumed exactly"
)


def digest(batch: Any) -> str:
    """The sha256 sum of a batch: names, types, shapes and numbers. Of an object that holds no data, only its type."""
    found = hashlib.sha256()
    for path, kind, data in sorted(_leaves(batch), key=lambda leaf: leaf[0]):
        found.update(f"{path}\0{kind}\0".encode(errors="surrogatepass"))
        found.update(data)
    return found.hexdigest()


def next_step_record(game: Evaluator, state: State) -> dict[str, Any]:
    """The record of the next step that a checkpoint stores.

    ``batch_sha256`` is the digest of the batch that it will draw; ``losses`` are the players' losses on it, one for
    each member. A game's losses may also read things that no checkpoint holds, such as a global array. If these change
    before the run is resumed, the losses tell. What cannot be computed is left out.
    """
    found: dict[str, Any] = {}
    game = replace(game, cost=Cost(), trace=False)  # not part of the solver's cost
    with _ignoring_errors(), torch.no_grad():  # the step itself will report them
        buffers = game.refresh(state.params, state.buffers)
        batch = game.draw(state.generators(), buffers)
        if game.game.draws:
            found["batch_sha256"] = digest({k: x for k, x in batch.items() if k not in buffers})
        losses = {i: x.double().reshape(-1).tolist() for i, x in game.losses(state.params, batch).items()}
        if all(math.isfinite(x) for own in losses.values() for x in own):
            found["losses"] = losses
    return found


def changed_since(game: Evaluator, state: State, noted: Mapping[str, Any]) -> list[str]:
    """How the next step differs from ``noted``, its record in the checkpoint, in words."""
    found = next_step_record(game, state)
    if noted.get("batch_sha256", found.get("batch_sha256")) != found.get("batch_sha256"):
        return ["its next batch is another than it was to be: the data, or their order, have changed"]
    close = torch.finfo(leaves(state.params)[0].dtype).eps ** 0.75  # machines may add in different orders
    for i, was in noted.get("losses", {}).items():
        now = found.get("losses", {}).get(i, [])
        for x, y in itertools.zip_longest(was, now, fillvalue=math.nan):
            if not math.isclose(x, y, rel_tol=close, abs_tol=close):
                what = "what the losses read besides parameters and batch has changed"
                return [f"the loss of {i} at its last checkpoint was {x:.9g} and is {y:.9g}: {what}"]
    return []


def require_seeded(game: Evaluator, state: State) -> None:
    """Raise PluginError unless two draws from the same generator state are equal and change nothing else."""
    if not game.game.draws:
        return
    wrong = alone = None
    users = innermost(game.game)  # without its regularizers, one of which may be to blame
    with _ignoring_errors():  # the first step will report them
        buffers = game.member(game.refresh(state.params, state.buffers), 0)
        wrong = _unseeded(game.game, state, buffers)
        alone = _unseeded(users, state, buffers) if wrong and users.draws else None
    if wrong:
        raise contract_error(users if alone else game.game, f"{alone or wrong}: {_ADVICE}")


@contextlib.contextmanager
def _ignoring_errors() -> Iterator[None]:
    """Leave this context quietly whatever a game raises, even SystemExit: the step will raise it again."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        return


def _unseeded(game: Game, state: State, buffers: Any) -> str | None:
    """What is wrong with the way ``game`` samples, in words. None: nothing was found."""
    again, before = copied(buffers), _global_states()
    try:
        first = _drawn(game, state.generators()[0], copied(buffers))  # this may load data and import modules
        between = _global_states()
        second = _drawn(game, state.generators()[0], again)
        after = _global_states()
    finally:
        _restore_global_states(before)
    if not all(x is y or (not isinstance(x, Tensor) and x == y) for x, y in _pairs(buffers, again)):
        return "its sample writes to the buffers, which only refresh may renew"
    if changed := next((name for name in between if between[name][0] != after[name][0]), None):
        return f"its sample draws from {changed}"
    path = next((p for p in {**first, **second} if first.get(p) != second.get(p)), None)
    if path is not None:
        what = f"another {path!r}" if path else "another count of random numbers"
        return f"its sample drew {what} the second time, from the same state of the generator"
    if moving := Reads(((game, frozenset({"sample"})),)).moving:  # of which two draws may happen to be equal
        label, it = moving[0]
        return f"its sample reads {label}, a {type(it).__name__}, which moves on by itself"
    return None


def _pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    """The leaves of ``a`` and ``b`` in pairs; one pair of all of them if their numbers differ."""
    x, y = list(leaves_of(a)), list(leaves_of(b))
    return list(zip(x, y, strict=True)) if len(x) == len(y) else [(x, y)]


def _drawn(game: Game, rng: torch.Generator, buffers: Any) -> dict[str, Any]:
    """What is drawn, by path, and under "" the state of the generator afterwards."""
    batch = game.sample(rng, buffers)
    if not isinstance(batch, Mapping):
        raise TypeError("a batch is a dictionary")  # the first step will report it
    batch = {k: x for k, x in batch.items() if k not in buffers or x is not buffers[k]}  # buffers may be large
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
    """The global random generators by name: each as a value to compare, and as the state to restore."""
    of_torch, of_python = torch.get_rng_state(), random.getstate()
    of_numpy: Any = np.random.get_state()
    return {
        "torch's global random numbers": (of_torch.numpy().tobytes(), of_torch),
        "numpy's global random numbers": ((of_numpy[1].tobytes(), *of_numpy[2:]), of_numpy),
        "Python's global random numbers": (of_python, of_python),
    }


def _restore_global_states(states: dict[str, tuple[Any, Any]]) -> None:
    setters: tuple[Any, ...] = torch.set_rng_state, np.random.set_state, random.setstate
    for setter, (_, state) in zip(setters, states.values(), strict=True):
        setter(state)
