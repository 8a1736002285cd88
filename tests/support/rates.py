"""Update maps at 0, and the rate at which a run shrinks or grows."""

from __future__ import annotations

import cmath
import math

import numpy as np
import torch

import counterplay as cp

from .cases import (
    F64,
    eigenvalues,
    generator,
)


def zero(game):
    return {i: {k: torch.zeros(x.shape, dtype=F64) for k, x in t.items()} for i, t in game.init(generator()).items()}


def moved_by(game, name, params=None, **options):
    return cp.update_jacobian(game, cp.make("solver", name, **options), zero(game) if params is None else params)


def rate(norms, F, skip=0):
    """The slope of log norm over the steps after ``skip``, by regression on k and on the beat of the leading pair.

    Along a pair r e^{+-i phi} the norm is r^k times a function of 2 phi k: its first harmonics are fitted too.
    """
    k = np.arange(skip, len(norms))
    phi = cmath.phase(max(eigenvalues(F).tolist(), key=abs))
    beat = [f(2 * n * phi * k) for n in range(1, 5) for f in (np.cos, np.sin)]
    columns = np.stack([k - k.mean(), np.ones(len(k)), *beat], axis=1)
    return float(np.linalg.lstsq(columns, np.log(norms[skip:]), rcond=None)[0][0])


def norms_of(game, solver, steps, **options):
    norms = []
    cp.run(
        game,
        solver,
        steps=steps,
        trace=False,
        observers=[lambda seen: norms.append(math.hypot(*seen.figures.parameter_norms))],
        **options,
    )
    return norms
