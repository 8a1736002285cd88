"""Run directories written by hand, without playing a game."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterplay.analysis.log.log import Log
from counterplay.core.log.schema import Layout, Variable
from counterplay.core.log.writer import LogWriter
from counterplay.core.run.checkpoint import save_checkpoint
from counterplay.core.storage.run_directory import RunDirectory

Row = tuple[str, dict[str, Any]]
J = np.array([[2.0, 10.0], [-10.0, -2.0]])  # of the quadratic game


def written(
    path: Path, layout: Layout, rows: Iterable[Row], facts: dict[str, Any] | None = None, ended: tuple[Any, ...] = ()
) -> Path:
    """A whole log of ``rows``, (group, row) each, beside ``facts`` and what the status says of how it ``ended``."""
    run = RunDirectory.create(path, facts or {})
    writer = LogWriter(path, layout)
    for group, row in rows:
        writer.append(group, row)
    writer.finish()
    if ended:
        run.write_status(*ended)
    return path


def quadratic(path: Path, members: int | None = None, lr: tuple[float, float] = (0.09, 0.01), steps: int = 60) -> Path:
    """A run of simgd on x² + 10xy + y², its log and its files, as the engine leaves them."""
    lead = () if members is None else (members,)
    update = np.linalg.eigvals(np.eye(2) - np.diag(lr) @ J)
    found = {"eigenvalues": np.linalg.eigvals(J), "residuals": np.zeros(2), "update_eigenvalues": update}
    spectrum: dict[str, Any] = {k: np.broadcast_to(a, (*lead, 2)) for k, a in found.items()}
    spectrum |= {name: np.zeros((*lead, 2), int) for name in ("status", "update_status")}
    spectrum["block_eigenvalues"] = {"x": np.full((*lead, 1), 2.0), "y": np.full((*lead, 1), -2.0)}
    rows: list[Row] = []
    p = np.random.default_rng(0).normal(size=(*lead, 2))
    for step in range(steps + 1):
        (x, y), v = np.moveaxis(p, -1, 0), p @ J.T
        loss = x**2 + 10 * x * y + y**2
        row = {"losses": np.stack([loss, -loss], -1), "gradient_norms": abs(v), "parameter_norms": abs(p)}
        rows.append(("step", {"step": step, **row, "parameters": p, "gradients": step, "wall_seconds": step / 100}))
        if step % 30 == 0:
            rows.append(("spectrum", {"step": step, **spectrum}))
        p = p - v * lr
    ended = ("max_steps", steps) if np.abs(p).max() < 1e3 else ("diverged", steps, "The bound was passed.")
    experiment = {"game": {"name": "quadratic", "b": 10.0}, "solver": {"name": "simgd", "lr": list(lr)}, "seed": 0}
    facts = {"experiment": experiment, "seed": 0, "references": {"solver": "Arrow, Hurwicz & Uzawa 1958"}}
    return written(path, Layout(("x", "y"), ("x/value", "y/value"), members=members), rows, facts, ended)


def gan(path: Path, kind: str = "images") -> Path:
    """A run of a GAN with everything a log can hold but whole parameters."""
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for step in range(301):
        inner = {"inner_iterations": 4, "inner_residual": 1e-6, "inner_converged": step != 7}
        costs = {"gradients": 2 * step, "products": 9 * step, "samples": 64 * step, "wall_seconds": step / 10}
        norms = {"gradient_norms": np.exp(rng.normal(size=2)), "parameter_norms": [3.0, 4.0]}
        row = {"losses": rng.normal(size=2), **norms, "projection": rng.normal(size=3), **inner, **costs}
        rows.append(("step", {"step": step, **row}))
        if step % 100 == 0:
            z = rng.normal(size=5) + 1j * rng.normal(size=5)
            made = rng.uniform(-1, 1, (9, 1, 8, 8)) if kind == "images" else rng.normal(size=(50, 2))
            rows += [
                ("spectrum", {"step": step, "eigenvalues": z, "residuals": abs(z), "status": np.full(5, step == 100)}),
                ("samples", {"step": step, kind: made}),
                ("metrics", {"step": step, "score": step / 100, "digit_share": np.full(10, 0.1)}),
            ]
    share = Variable("digit_share", ("metrics", "digit"), "<f8", "share of each digit")
    layout = Layout(("generator", "discriminator"), directions=("d0", "d1", "d2"), metrics=(share,))
    experiment = {"game": "digits", "solver": "acgd", "loss": {"name": "wgan"}, "regularizers": [{"name": "r1"}]}
    return written(path, layout, rows, {"experiment": experiment, "seed": 4}, ("max_steps", 300))


def interrupted(path: Path) -> Path:
    """A run of three blocks and three checkpoints that can go on. A player's name would be a formula in a table."""
    run = RunDirectory.create(path, {"experiment": {"game": "quadratic"}})
    writer = LogWriter(path, Layout(("x", "=y,"), attrs={"experiment": '{"game": "quadratic"}'}), seal_seconds=1e9)
    rng = np.random.default_rng(0)
    for step in range(30):
        writer.append("step", {"step": step, "losses": rng.normal(size=2), "wall_seconds": np.inf})
        if step % 10 == 0:
            values = {"eigenvalues": [1 + 2j, -3j], "residuals": [0.0, np.nan], "status": [0, 1]}
            writer.append("spectrum", {"step": step, **values})
            save_checkpoint(path, step, {"params": {"x": {"value": torch.zeros(3)}}}, {"step": step})
        if step % 10 == 9:
            writer.seal()
    run.write_status("interrupted", 29)
    return path


def look(log: Log) -> list[np.ndarray]:
    """Read all there is."""
    _ = log.run, log.status, log.attrs, log.players
    return [log[key] for key in log]


def flip(path: Path, bit: int | None = None) -> None:
    """Change one bit of a file, in its middle if no other is named."""
    data = bytearray(path.read_bytes())
    bit = 8 * (len(data) // 2) if bit is None else bit
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
