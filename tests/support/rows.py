"""Rows of a log, and a log full of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from counterplay.core.log.schema import Layout
from counterplay.core.log.writer import LogWriter

LAYOUT = Layout(("x", "yé"), ("x/value[0]", "yé/value[0]"), attrs={"experiment": '{"game": "quadratic"}', "seed": 3})


def row(step: int, rng: np.random.Generator) -> dict:
    two = ("losses", "gradient_norms", "parameter_norms", "parameters")
    return {"step": step, **{k: rng.normal(size=2) for k in two}, "gradients": 2 * step, "wall_seconds": step / 8}


def fill(directory: Path, steps: int = 60, layout: Layout = LAYOUT, seal_every: int = 25) -> dict[str, np.ndarray]:
    """Write a log of several blocks and return what was put in."""
    rng = np.random.default_rng(0)
    writer = LogWriter(directory, layout, seal_seconds=1e9)
    put: dict[str, list] = {}
    for step in range(steps):
        given = row(step, rng)
        writer.append("step", given)
        for name, value in given.items():
            put.setdefault(f"step/{name}", []).append(value)
        if step % 10 == 0:
            modes = 2 + step // 20  # the number of eigenvalues found varies
            values = rng.normal(size=modes) + 1j * rng.normal(size=modes)
            found = {"eigenvalues": values, "residuals": abs(values), "status": np.zeros(modes)}
            writer.append("spectrum", {"step": step, **found})
            put.setdefault("spectrum/eigenvalues", []).append(values)
        if step % seal_every == seal_every - 1:
            writer.seal()
    writer.seal()
    spectra = put.pop("spectrum/eigenvalues")
    widest = max(map(len, spectra))
    nan = complex(np.nan, np.nan)
    padded = [np.concatenate([v, np.full(widest - len(v), nan)]) for v in spectra]
    return {**{k: np.array(v) for k, v in put.items()}, "spectrum/eigenvalues": np.array(padded)}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
