"""What the papers show of whole runs, at their own settings: minutes each, so all of it is slow.

NUM is Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), JARE is Nie and Patel (2020, arXiv 1806.09235).
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.loop.observers import Every

pytestmark = pytest.mark.slow
METHODS: dict[str, dict[str, float]] = {"simgd": {}, "conopt": {"gamma": 10.0}, "jare": {"gamma": 10.0}}

# ------------------------------------------------------------------------------------------------ ring of Gaussians

STEPS = int(os.environ.get("RING_STEPS", "5000"))  # the papers play 10,000; half shows it
LOOK = 250
RINGS = {"NUM": {"radius": 1.0, "latent_variance": 1.0}, "JARE": {"radius": 2.0, "latent_variance": 2.0}}


def looks(name: str, ring: str) -> tuple[np.ndarray, np.ndarray, dict[str, float], str]:
    """Of 2,048 samples every 250 steps: the share nearest to each mode (looks, 8), the good ones (looks,), the
    metrics at the end, and all that in words. 64 samples a step: neither paper says how many."""
    game: Any = cp.make("game", "mixture", batch=64, **RINGS[ring])
    solver = cp.make("solver", name, lr=1e-4, rule="rmsprop", **METHODS[name])
    noise = RINGS[ring]["latent_variance"] ** 0.5 * torch.randn(2048, 64, generator=torch.Generator().manual_seed(99))
    shares, metrics = [], []

    def look(seen: Any) -> None:
        samples = game.generate(seen.params["generator"], noise, {})
        nearest = torch.cdist(samples, game.centres).argmin(1)
        shares.append(torch.bincount(nearest, minlength=8).numpy() / len(noise))
        metrics.append({k: float(x) for k, x in game.metrics(seen.params, {"noise": noise}).items()})

    cp.run(game, solver, steps=STEPS, seed=0, observers=[Every(LOOK, look)])
    found, good = np.array(shares), np.array([m["good_samples"] for m in metrics])
    words = (
        f"{name}, {ring}, every {LOOK} steps: modes with 2 % of the samples {held(found).tolist()}; the largest "
        f"{found.argmax(1).tolist()}; good samples {good.round(2).tolist()}; at the end {metrics[-1]}"
    )
    print(words)
    return found, good, metrics[-1], words


def held(shares: np.ndarray) -> np.ndarray:
    """The modes with at least 2 % of the samples."""
    return (shares >= 0.02).sum(1)


@pytest.mark.parametrize(("ring", "until"), [("NUM", None), ("JARE", 2000 // LOOK + 1)], ids=["NUM", "JARE"])
def test_simultaneous_descent_jumps_among_the_modes(ring: str, until: int | None) -> None:
    """NUM Fig. 2, JARE Fig. 2: nearly all samples are at one mode, then at another.

    On NUM's ring to the end. On JARE's, of radius 2, for 2,000 steps: after that it spreads over a part of the ring
    and stays there, without sharpening as the others do, where the figure has it go on jumping.
    """
    shares, _, _, words = looks("simgd", ring)
    part = shares[2:until]
    main = part.argmax(1)
    assert held(part).max() <= 4 and np.median(held(part)) <= 2, words
    assert np.count_nonzero(np.diff(main)) >= len(main) // 3 and len(set(main)) >= 4, words


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("name", ["conopt", "jare"])
def test_consensus_and_jacobian_regularisation_cover_all_modes(name: str, ring: str) -> None:
    """NUM Fig. 2, JARE Fig. 2: all eight modes from half-way on, none with less than a third of its due, and sharper
    and sharper."""
    shares, good, end, words = looks(name, ring)
    half, quarter = len(shares) // 2, len(shares) // 4
    assert shares[half:].min() > 1 / 24 and end["modes_found"] == 8, words
    assert good[-quarter:].mean() > 2 * good[: 2 * quarter].mean(), words


# ------------------------------------------------------------------------------------------- affine Gaussian GAN

ETA, AFFINE_STEPS, EVERY = 1e-3, 15_000, 10


def course(name: str, exact: bool, directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Generator and discriminator less their equilibrium, each (looks, 2): across the data's mean, and along it."""
    game = cp.make("game", "affine-gaussian", exact=exact, nodes=8)
    cp.run(game, cp.make("solver", name, lr=ETA, **METHODS[name]), steps=AFFINE_STEPS, out=directory, every=EVERY)
    theta = cp.open_log(directory)["step/parameters"]
    return theta[:, :2] - game.target.numpy(), theta[:, 2:]


def test_the_affine_gaussian_gan_as_published(tmp_path: Path) -> None:
    """JARE Fig. 1, 128 samples a step: simgd oscillates with weak damping, conopt's generator is slowed, jare
    converges in both."""
    size, words = {}, ""
    for name in METHODS:
        size[name] = np.stack([np.linalg.norm(x, axis=1) for x in course(name, False, tmp_path / name)], axis=1)
        shown = [size[name][k : k + 100].mean(0).round(5).tolist() for k in (0, 500, 1000, 1400)]
        words += f"{name}: (generator, discriminator) at the start, 5,000, 10,000, 14,000: {shown}\n"
    print(words)
    late = {name: x[-500:].mean(0) for name, x in size.items()}  # the last 5,000 steps
    whole = np.hypot(*size["simgd"].T)
    assert 0.7 < whole[-100:].mean() / whole[:100].mean() < 0.95, words
    assert size["simgd"][-650:].max(0).min() > 5 * size["simgd"][-650:].min(0).max(), words  # over half a turn
    assert late["conopt"][1] < 0.002 and late["conopt"][0] > 0.8 * size["conopt"][250:300, 0].mean() > 0.003, words
    assert late["jare"][0] < late["conopt"][0] / 3 and late["jare"][1] < late["conopt"][1] / 3, words


def test_the_affine_gaussian_gan_moves_as_its_spectrum_says(tmp_path: Path) -> None:
    """The same without sampling: frequency and damping of simgd, and the slowest mode of the others, along the mean.

    J = [[0, P], [-P, Q]] with P = -1/2, Q = (sigma^2 + mu^2)/2 = 8.02 along the mean. J + gamma J^T J has determinant
    P^2 (1 + gamma Q + gamma^2 P^2) and trace Q + gamma (2 P^2 + Q^2): 26.55 and 656.22, so .0404612 is its slow
    eigenvalue. jare's trace, Q + 2 gamma P^2, has no Q^2 in it: .52.
    """
    generator, discriminator = course("simgd", True, tmp_path / "simgd")
    turn = np.unwrap(np.arctan2(discriminator[:, 0], generator[:, 0]))
    frequency = abs(turn[-1] - turn[0]) / AFFINE_STEPS / ETA
    across, whole = np.hypot(generator[:, 0], discriminator[:, 0]), 1257  # looks of one turn: the orbit is no circle
    damping = math.log(across[0] / across[whole]) / (whole * EVERY * ETA)
    assert frequency == pytest.approx(0.4999, rel=2e-3) and damping == pytest.approx(0.01, rel=0.02)
    rates = {}
    for name in ("conopt", "jare"):
        along = np.abs(course(name, True, tmp_path / name)[0][:, 1])
        a, b = 500, 1000  # looks: from 5,000 to 10,000 steps
        rates[name] = math.log(along[a] / along[b]) / ((b - a) * EVERY * ETA)
    assert rates["conopt"] == pytest.approx(0.0404612, rel=0.02), rates
    assert rates["jare"] == pytest.approx(0.52, rel=0.02), rates
