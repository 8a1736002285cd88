"""How a run ends, and how it goes on with some of its members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..solver.state import State
from .monitor import Divergence


@dataclass(frozen=True)
class Ending:
    """The last state, a status of ``schema.RUN_STATES`` and a sentence, if there is something to say."""

    state: State
    status: str
    message: str = ""


def diverged_ending(state: State, divergence: Divergence) -> Ending:
    """The end of a run whose last member diverged in the step from ``state``, the last finite state."""
    message = f"{divergence.reason[0].upper()}{divergence.reason[1:]} at step {state.step}."
    return Ending(replace(state, alive=torch.zeros_like(state.alive)), "diverged", message)


def alive_after(state: State, divergence: Divergence | None) -> Tensor:
    """Which members are still alive after a step from ``state``: () or, for an ensemble, (M,)."""
    return state.alive if divergence is None else state.alive & ~torch.from_numpy(np.asarray(divergence.members))


def where_alive(alive: Tensor, new: Any, old: Any) -> Any:
    """``new`` for the members that are ``alive``, ``old`` for the others."""
    if not isinstance(new, Tensor) or new.dim() == 0:
        return new  # shared by all members, such as a step count
    return torch.where(alive.to(new.device).reshape(-1, *[1] * (new.dim() - 1)), new, old)
