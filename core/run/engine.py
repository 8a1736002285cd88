"""Playing a game: what a run is asked, where it starts, and what comes of it. The loop itself is in ``core.loop``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attribution import guarded
from ..compiled.chunks import Chunks
from ..compiled.compiled_step import compiled_solver
from ..derivatives.evaluator import Evaluator
from ..errors import UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer
from ..game.tree import Params, leaves
from ..log.history import History
from ..loop.contract import validated_memory
from ..loop.loop import Loop, Progress
from ..loop.monitor import Monitor, joint
from ..loop.observers import Observer
from ..loop.stopping import Condition, until
from ..seeding import SCHEME
from ..settings import Asked
from ..solver.solver import Memory, Solver, require_suited
from ..solver.state import State
from ..spectra.game_check import check_game
from ..tolerances import tolerances
from .journal import Journal
from .next_step import require_seeded
from .recorders import Trajectory
from .recording import layout_of
from .settings import Settings
from .start import memory_from, parameters_from

# The path depends on the step, never on how long the run is. Measured on toys: tracing pays for itself within 20 to 160
# steps, compiling, compiler and all, within 400 to 1,500 traced ones.
TRACE_FROM = 200  # the first step that replays graphs
COMPILE_FROM = 2_000  # the first that is taken by compiled code


@dataclass(frozen=True)
class Result:
    """How a run ended: ``status`` is "converged", "max_steps", "not_converged" or "diverged", ``message`` a sentence.

    ``params`` and ``memory`` are the last finite ones, ``steps`` the steps that led there. ``diverged`` names the
    members of an ensemble that did not stay finite; they stand where they last were. ``eager`` says why steps were
    not compiled, or losses not replayed, where they were to be. ``checks["jacobian"]`` tells whether J is the
    derivative of v: its ``status`` is "agrees", "differs" or "unknown", ``words`` say why. ``history`` is what was
    recorded, where it was asked for.
    """

    params: Params
    memory: Memory
    status: str
    steps: int
    directory: Path | None
    message: str = ""
    diverged: tuple[int, ...] = ()
    eager: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)
    history: History | None = None


def run(
    game: Game,
    solver: Solver,
    *,
    steps: int = 1000,
    seed: int = 0,
    start: Params | None = None,
    memory: Memory | None = None,
    out: str | Path | None = None,
    regularizers: Sequence[Regularizer] = (),
    observers: Sequence[Observer] = (),
    members: int | None = None,
    until: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    every: int = 1,
    spectrum_every: int = 0,
    checkpoint_every: int = 0,
    sample_every: int | None = None,
    history: bool = False,
    blowup: float | None = None,
    experiment: Mapping[str, Any] | None = None,
    progress: Callable[[int, int, Mapping[str, Tensor]], None] | None = None,
    trace: bool | None = None,
    compile: bool | None = None,
    stop: Callable[[], bool] | None = None,
    inexact_data: bool = False,
) -> Result:
    """Play ``game`` with ``solver`` for ``steps`` steps, or until a condition holds.

    ``start`` are parameters to begin from, {player: {name: tensor}}, by default the game's own, from ``seed``; arrays,
    lists and numbers will do. ``memory`` is a solver's to go on with, as that of a Result, by default an empty one.
    ``out`` is a new directory for the log; None keeps nothing on disk. ``members`` plays an ensemble at once, member m
    from the seed ``member_seed(seed, m)``. ``sample_every`` is how often what the game shows and its metrics are
    recorded, by default ten times in a run. ``history`` keeps in ``Result.history`` what a log would hold, with or
    without ``out``. ``observers`` are called with a ``Seen`` at each step. ``until`` is a condition like
    "gradient_norm<1e-6". ``blowup`` bounds the parameters' norm, by default at 1e30 (float32: 1e15) times 1 + its
    initial value; inf turns it off. ``trace``
    plays traced graphs instead of eager operations: from step 0, or never; by default from step 200 on. ``compile``
    plays small games that draw nothing by one compiled function for many steps: from step 0, or never; by default from
    step 2,000 on; what cannot be compiled, or not here, is played step by step. Both depend on the step alone: a
    longer run begins with the same numbers. ``stop()`` is asked before each step whether to save the state and end
    there. ``inexact_data`` lets a game draw from elsewhere than its generator, an iterator say: such a run is marked,
    as one that cannot be repeated or resumed exactly. Raises UsageError for what does not fit together, PluginError
    where a game or a solver breaks its contract, StorageError where the log cannot be written.
    """
    asked = {**locals(), "device": _name(device), "dtype": _name(dtype)}
    _objects(game, solver, regularizers, start)
    settings = Settings(
        **{field.name: asked[field.name] for field in fields(Asked)},
        trace_from=first_step_of(trace, TRACE_FROM), compile_from=first_step_of(compile, COMPILE_FROM), seeding=SCHEME,
    ).checked()  # fmt: skip
    with torch.no_grad():
        evaluator = settings.evaluator(game, regularizers)
        met = condition(until, evaluator)
        state = initial_state(evaluator, solver, settings, start, memory)
        if out is not None and leaves(state.params)[0].dtype is torch.bfloat16:
            raise UsageError("a log holds no bfloat16: play this game in float32 or float64 (dtype), or without out.")
        if not settings.inexact_data:
            require_seeded(evaluator, state)
        checks = {"jacobian": check_game(evaluator, state)}
        chunks, why = None, ""
        if settings.compile_from is not None and settings.steps > settings.compile_from:
            chunks, why = chunked(evaluator, solver, state, settings)
        if chunks is None:
            settings = replace(settings, compile_from=None)
        given = not (start is memory is None)
        kept = None
        if history:
            kept = History(layout_of(evaluator, Trajectory(state.params, evaluator.members)))
            kept.expect(steps // every + 2 if every else 0)
        journal = Journal.create(out, evaluator, solver, state, settings, experiment, given, checks, kept)
        result = play(evaluator, solver, state, settings.steps, met, journal, observers, progress, stop, chunks)
        return replace(result, eager=f"{why} {result.eager}".strip(), checks=checks, history=kept)


def first_step_of(asked: bool | None, usual: int) -> int | None:
    """The first step that something is done at: 0 where it is asked for, None where it is not wanted."""
    return usual if asked is None else 0 if asked else None


def chunked(game: Evaluator, solver: Solver, state: State, settings: Settings) -> tuple[Chunks | None, str]:
    """The solver's steps compiled to be taken many at once, or None and the reason in words."""
    try:
        solver = compiled_solver(game, solver, state)
        return Chunks(solver, settings.compile_from or 0, settings.checkpoint_every), ""
    except Exception as error:  # anyone's code is traced, and anyone's compiler asked: anything can come up
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        return None, f"Steps are not compiled: {reason.rstrip('.')}."


def play(
    game: Evaluator,
    solver: Solver,
    state: State,
    steps: int,
    met: Condition | None,
    journal: Journal,
    observers: Sequence[Observer],
    progress: Progress | None,
    stop: Callable[[], bool] | None,
    chunks: Chunks | None = None,
) -> Result:
    """From ``state`` to the end, written down by ``journal``."""
    with journal:
        loop = Loop(game, solver, steps, met, [*journal.observers, *observers], journal.save, progress, leaper=chunks)
        loop.stop = stop or loop.stop
        ending = loop.play(state)
        gone = tuple(int(m) for m in np.flatnonzero(~ending.state.alive.numpy())) if game.members else ()
        journal.close(ending, gone)
    end = ending.state
    eager = f"Losses are not replayed: {game.origin.eager}." if game.origin.eager else ""
    return Result(end.params, end.memory, ending.status, end.step, journal.directory, ending.message, gone, eager)


def _objects(game: Any, solver: Any, regularizers: Any, start: Any) -> None:
    """Raise UsageError where something else was given than what these are."""
    wanted = [
        ("game", game, Game),
        ("solver", solver, Solver),
        *(("regularizer", r, Regularizer) for r in regularizers),
    ]
    for kind, given, base in wanted:
        if not isinstance(given, base):
            raise UsageError(f'the {kind} is {given!r:.80}, not a {kind} object: make one with make("{kind}", name).')
    if start is not None and not (isinstance(start, Mapping) and all(isinstance(t, Mapping) for t in start.values())):
        raise UsageError(f"start is {type(start).__name__}; parameters {{player: {{name: tensor}}}} are expected.")


def initial_state(
    game: Evaluator, solver: Solver, settings: Settings, start: Params | None = None, memory: Memory | None = None
) -> State:
    """The state before the first step."""
    require_suited(solver, game)
    rngs = game.generators(settings.seed)
    params, buffers = game.start(rngs)
    if start is not None:
        params = parameters_from(start, params, game)
    with guarded("starting", solver, game, refusing=True):
        own = validated_memory(solver, solver.init(game, params))
    memory = own if memory is None else memory_from(memory, own, solver, game)
    norm = joint(Monitor(params, game.members, np.inf).norms)  # (), or (M,)
    far = tolerances(leaves(params)[0].dtype).blowup * (1 + norm)
    bound = torch.from_numpy(np.asarray(far if settings.blowup is None else np.full_like(norm, settings.blowup)))
    return State(
        0, params, memory, buffers, tuple(r.get_state() for r in rngs), torch.ones(norm.shape, dtype=torch.bool), bound
    )


def condition(text: str | None, game: Evaluator) -> Condition | None:
    return None if text is None else until(text, game.players)


def _name(x: Any) -> str | None:
    """A device or a dtype as it stands in run.json."""
    return None if x is None else str(x).removeprefix("torch.")
