"""Several processes on this machine that compute together for a moment: for checks and tests, without torchrun."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

from ..collective import Ranks
from ..errors import UsageError


def on_processes(count: int, function: Callable[..., Any], *args: Any, seconds: float = 600.0) -> list[Any]:
    """``function(ranks, *args)`` in ``count`` new processes; what it returns in each of them.

    ``function`` is one that a module defines. Raises UsageError if torch lacks gloo, RuntimeError with what a process
    raised, or if it ends without a word or is not done within so many ``seconds``.
    """
    if not dist.is_available() or not dist.is_gloo_available():
        raise UsageError(f"torch {torch.__version__} is built without gloo, through which processes talk.")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        pipes = [context.Pipe(duplex=False) for _ in range(count)]
        meeting = f"file://{directory}/meeting"
        children = [
            context.Process(
                target=_child, args=(rank, count, meeting, seconds, pipes[rank][1], function, args), daemon=True
            )
            for rank in range(count)
        ]
        for child, (_, there) in zip(children, pipes, strict=True):
            child.start()
            there.close()  # so that the end of the child is the end of what it says
        try:
            answers = [_answer(here, seconds) for here, _ in pipes]
        finally:
            for child in children:
                child.kill()
                child.join()
    wrong = [f"process {rank}: {error}" for rank, (_, error) in enumerate(answers) if error is not None]
    if wrong:  # the others may only have noticed that one has ended
        raise RuntimeError(next((words for words in wrong if "ProcessLost" not in words), wrong[0]))
    return [answer for answer, _ in answers]


def _answer(here: Connection, seconds: float) -> tuple[Any, str | None]:
    """What a process returned, or what is wrong with it, in words."""
    try:
        found: tuple[Any, str | None] = (
            here.recv() if here.poll(seconds) else (None, f"not done within {seconds:g} seconds")
        )
        return found
    except EOFError:
        return None, "it ended without a word"


def _child(
    rank: int,
    count: int,
    meeting: str,
    seconds: float,
    there: Connection,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", meeting, timedelta(seconds=seconds), count, rank)
        group: Any = dist.group.WORLD
        there.send((function(Ranks(rank, count, group.group_name), *args), None))
    except Exception as error:  # it is raised again where it is waited for
        there.send((None, f"{type(error).__name__}: {error}"))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
