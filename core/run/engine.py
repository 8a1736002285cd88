"""Plays a game: prepares it, makes the first state, runs the loop (``core.loop``), and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..attribution import guarded
from ..compiled.compiled_chunk_runner import CompiledChunkRunner
from ..compiled.compiled_step import compiled_solver
from ..derivatives.evaluator import Evaluator
from ..errors import Interrupted, UsageError
from ..game.game import Game
from ..game.regularizer import Regularizer
from ..game.tree import Params, leaves
from ..log.history import History
from ..loop.contract import validated_memory
from ..loop.loop import Loop, Progress
from ..loop.monitor import Monitor, joint_norm
from ..loop.observers import Observer
from ..loop.result import Result
from ..loop.stopping import Stopping, stopping
from ..parallel.agreement import agreed_stopping
from ..parallel.launch import processes, together
from ..parallel.playing import Playing
from ..process import torchrun
from ..provenance.reproducibility import require_seeded
from ..seeding import SCHEME
from ..settings import UserSettings
from ..solver.solver import Memory, Solver, require_suited
from ..solver.state import State
from ..spectra.announcement import announced_to
from ..spectra.game_check import check_game
from ..terminal.progress import shown_to_python
from ..tolerances import tolerances
from .given_start import memory_from, parameters_from
from .recorder_setup import layout_of
from .recorders import Gallery, ParameterSummary
from .run_writer import RunWriter
from .settings import Settings

# Which code takes a step depends on the step's number, never on the length of the run. On toy games tracing saved more
# time than it took after 20 to 160 steps; compiling, with the compiler's own time, after 400 to 1,500 traced steps.
TRACE_FROM = 200  # the first step that replays traced programs
COMPILE_FROM = 2_000  # the first step taken by compiled code


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
    patience: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    every: int = 1,
    spectrum_every: int = 0,
    checkpoint_every: int = 0,
    sample_every: int | None = None,
    history: bool = False,
    blowup: float | None = None,
    experiment: Mapping[str, Any] | None = None,
    progress: Progress | bool | None = None,
    trace: bool | None = None,
    compile: bool | None = None,
    stop: Callable[[], bool] | None = None,
    deterministic: bool = False,
    tf32: bool = False,
    channels_last: bool = False,
    inexact_data: bool = False,
) -> Result:
    """Play ``game`` with ``solver`` for ``steps`` steps, or until a condition holds.

    start             parameters to begin from, {player: {name: tensor}}; also arrays, lists or numbers. By default the
                      game's own initial parameters, drawn from ``seed``. They are cast to the dtype of the run: with
                      dtype="float64" nothing of a float64 start is lost
    memory            a solver's memory to go on with, such as that of a Result; by default the solver's first memory
    out               a new directory for the log; None keeps nothing on disk
    regularizers      applied to the game in this order
    observers         called with a ``Seen`` at each step
    members           the size of an ensemble that is played at once; member m has the seed ``member_seed(seed, m)``
    until             a condition like "gradient_norm<1e-6" or "metric.fid<20"; the run ends as converged when it holds.
                      A metric is compared where it is measured, at every ``sample_every`` steps and at the end
    patience          end the run as not converged when the quantity in ``until`` has not been better than ever before
                      at so many measurements in a row. The checkpoint of the best measurement is kept
    device, dtype     where and in which precision to compute; by default those of the game's parameters
    every             record losses and norms every so many steps
    spectrum_every    record spectra every so many steps; 0: never
    checkpoint_every  keep a checkpoint every so many steps; without it only the first and the newest two are kept
    sample_every      record samples and metrics every so many steps; by default ten times in a run
    history           keep what a log would hold in ``Result.history``, with or without ``out``
    blowup            the run has diverged when the norm of the parameters exceeds this; by default 1e30 (float32: 1e15)
                      times 1 + the initial norm; inf turns it off
    experiment        what run.json says of game and solver, if they were made by name
    progress          whether to show the progress: by default on a terminal and in a notebook, of runs of more than a
                      second. Or ``progress(step, steps, losses)``, which is called after every step
    trace             whether to replay traced programs: True from step 0 on, False never, None from step 200 on
    compile           whether to compile small games that draw nothing: True from step 0 on, False never, None from step
                      2,000 on. What cannot be compiled is played step by step
    stop              ``stop()`` is asked before each step; True saves the state and ends the run
    deterministic     use only operations that give the same bits each time on the same device; slower. A run on a GPU
                      then resumes bit for bit, as one on the CPU always does
    tf32              on a GPU, let products and convolutions of float32 numbers keep 10 bits of them: faster. Spectra,
                      samples and metrics are still computed in full. It has no effect on the CPU
    channels_last     keep 4-d parameters and batches with their channels last in memory, which is faster on some GPUs;
                      not for ensembles
    inexact_data      allow a game that draws from something else than its generator, such as an iterator. The run is
                      marked as one that cannot be repeated or resumed exactly

    Raises UsageError if the arguments do not fit together, PluginError if a game or a solver breaks its contract,
    StorageError if the log cannot be written.
    """
    arguments = {**locals(), "device": _name(device), "dtype": _name(dtype)}
    _require_objects(game, solver, regularizers, start)
    ranks = processes(_name(device))
    settings = Settings(
        **{field.name: arguments[field.name] for field in fields(UserSettings)},
        trace_from=first_step_of(trace, TRACE_FROM), compile_from=first_step_of(compile, COMPILE_FROM), seeding=SCHEME,
        ranks=1 if ranks is None else ranks.count, share_members=ranks is not None and (members or 0) >= ranks.count,
    ).checked()  # fmt: skip
    with settings.switched(), together(ranks, out):
        evaluator = settings.evaluator(game, regularizers)
        ends_early = agreed_stopping(ranks, stopping_of(settings, evaluator))
        state = initial_state(evaluator, solver, settings, start, memory)
        if out is not None and leaves(state.params)[0].dtype is torch.bfloat16:
            raise UsageError("a log holds no bfloat16: play this game in float32 or float64 (dtype), or without out.")
        if not settings.inexact_data:
            require_seeded(evaluator, state)
        checks = {"jacobian": check_game(evaluator, state)}
        playing = Playing(evaluator, evaluator, solver, observers, progress, stop)
        playing = playing.over(ranks, state, settings.share_members)
        runner, why = None, ""
        if ranks is None and settings.compile_from is not None and settings.steps > settings.compile_from:
            runner, why = compiled_chunk_runner(evaluator, solver, state, settings)
        if runner is None:
            settings = replace(settings, compile_from=None)
        start_given = not (start is memory is None)
        record = None
        if history:
            record = History(layout_of(evaluator, ParameterSummary(state.params, evaluator.members)))
            record.expect(steps // every + 2 if every else 0)
        out = out if ranks is None or ranks.first else None
        writer = RunWriter.create(out, evaluator, solver, state, settings, experiment, start_given, checks, record)
        result = play(playing, state, settings.steps, ends_early, writer, runner)
        return replace(result, eager=f"{why} {result.eager}".strip(), checks=checks, history=record)


def first_step_of(wanted: bool | None, default: int) -> int | None:
    """The step from which on tracing or compiling is used: 0 if it is wanted, None (never) if not, else ``default``."""
    return default if wanted is None else 0 if wanted else None


def compiled_chunk_runner(
    game: Evaluator, solver: Solver, state: State, settings: Settings
) -> tuple[CompiledChunkRunner | None, str]:
    """What takes chunks of steps with the compiled solver; or None, and the reason in words."""
    try:
        solver = compiled_solver(game, solver, state)
        return CompiledChunkRunner(solver, settings.compile_from or 0, settings.checkpoint_every), ""
    except Exception as error:  # a plugin's code and the machine's compiler may raise anything
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        return None, f"Steps are not compiled: {reason.rstrip('.')}."


def play(
    playing: Playing,
    state: State,
    steps: int,
    ends_early: Stopping,
    writer: RunWriter,
    runner: CompiledChunkRunner | None = None,
) -> Result:
    """Run the loop from ``state`` to its end, recorded by ``writer``."""
    game = playing.game
    with writer, shown_to_python(playing.progress) as progress, announced_to(_spectra_listener(playing, progress)):
        shown_to = [*writer.observers, *playing.observers]
        loop = Loop(game, playing.solver, steps, ends_early, Gallery(playing.whole).at, shown_to, writer.save)
        loop.progress = progress
        loop.chunk_runner = runner
        loop.stop = playing.stop or loop.stop
        ending = loop.play(state)
        diverged = tuple(int(m) for m in np.flatnonzero(~ending.state.alive.numpy())) if game.members else ()
        writer.close(ending, diverged)
    end = ending.state
    return Result(
        end.params, end.memory, ending.status, end.step, writer.directory, ending.message, diverged,
        playing.not_replayed, played=(game, end.buffers),
    )  # fmt: skip


def _spectra_listener(playing: Playing, progress: Any) -> Callable[[int, int], None]:
    """What is told of each product for spectra: the display. It raises Interrupted if the run is to stop at once.

    Of several processes that play together one alone cannot stop.
    """
    told = getattr(progress, "spectra", None)

    def listener(done: int, most: int) -> None:
        if playing.stop is not None and not torchrun.several() and playing.stop():
            raise Interrupted("stopped from outside while spectra were taken.")
        if told is not None:
            told(done, most)

    return listener


def _require_objects(game: Any, solver: Any, regularizers: Any, start: Any) -> None:
    """Raise UsageError unless these are a game, a solver, regularizers, and parameters or None."""
    expected = [
        ("game", game, Game),
        ("solver", solver, Solver),
        *(("regularizer", r, Regularizer) for r in regularizers),
    ]
    for kind, given, base in expected:
        if not isinstance(given, base):
            raise UsageError(f'the {kind} is {given!r:.80}, not a {kind} object: make one with make("{kind}", name).')
    if start is not None and not (isinstance(start, Mapping) and all(isinstance(t, Mapping) for t in start.values())):
        raise UsageError(f"start is {type(start).__name__}; parameters {{player: {{name: tensor}}}} are expected.")


def initial_state(
    game: Evaluator, solver: Solver, settings: Settings, start: Params | None = None, memory: Memory | None = None
) -> State:
    """The state before the first step, from ``start`` and ``memory`` where they are given.

    Raises UsageError if the solver refuses the game, or if ``start`` or ``memory`` do not fit it.
    """
    require_suited(solver, game)
    rngs = game.generators(settings.seed)
    params, buffers = game.start(rngs)
    if start is not None:
        params = parameters_from(start, params, game)
    with guarded("starting", solver, game, refusing=True):
        first_memory = validated_memory(solver, solver.init(game, params))
    memory = first_memory if memory is None else memory_from(memory, first_memory, solver, game)
    norm = joint_norm(Monitor(params, game.members, np.inf).norms)  # (), or (M,)
    default = tolerances(leaves(params)[0].dtype).blowup * (1 + norm)
    bound = torch.from_numpy(np.asarray(default if settings.blowup is None else np.full_like(norm, settings.blowup)))
    return State(
        0, params, memory, buffers, tuple(r.get_state() for r in rngs), torch.ones(norm.shape, dtype=torch.bool), bound
    )


def stopping_of(settings: Settings, game: Evaluator) -> Stopping:
    """What ends a run with these settings early. Raises UsageError."""
    return stopping(settings.until, settings.patience, settings.sampling, game.players)


def _name(x: Any) -> str | None:
    """A device or a dtype as run.json names it."""
    return None if x is None else str(x).removeprefix("torch.")
