"""Runs on a GPU beside the same runs on the CPU.

What can be found without one is tested on any machine: devices that are mixed and waits of the host in
tests/run/test_second_device.py, the bookkeeping of CUDA graphs in tests/tracing/program/test_cuda_graphs.py.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import leaves
from counterplay.core.registry import registry
from counterplay.core.tracing.program import cuda_graphs

pytestmark = pytest.mark.gpu

ADAM = {"lr": 1e-3, "rule": {"name": "adam"}}
SOLVERS = sorted(entry.name for entry in registry.entries("solver"))
# best-response and hamiltonian are for games of few numbers; stackelberg's systems are singular for these networks.
OF_NETWORKS = ["acgd", "altgd", "cgd", "conopt", "extragradient", "implicit-euler", "jare", "lola", "sga", "simgd"]


def network(**options):
    small = {"network": {"name": "conv", "filters": 4}, "batch": 8, "loss": "saturating"}
    return cp.make("game", "images", **small | options)


def played(game, solver, steps=3, **settings) -> Any:
    return cp.run(game, solver, **{"steps": steps, "trace": False, "compile": False, "dtype": "float64"} | settings)


def agree(found, expected, rtol, atol=1e-12):
    for x, y in zip(leaves(found.params), leaves(expected.params), strict=True):
        torch.testing.assert_close(x.cpu(), y.cpu(), rtol=rtol, atol=atol)


def logged(history, name):
    return torch.from_numpy(np.array(history[name]))


def same(found, expected):
    return all(torch.equal(x, y) for x, y in zip(leaves(found.params), leaves(expected.params), strict=True))


def test_a_seed_gives_the_same_noise(device: str) -> None:
    drawn: dict[str, list[Any]] = {"cpu": [], device: []}
    regularizers = [cp.make("regularizer", "gradient-penalty"), cp.make("regularizer", "instance-noise")]
    for where, seen in drawn.items():
        watch = lambda x, seen=seen: seen.append(x.batch)  # noqa: E731
        played(
            network(flip=True), cp.make("solver", "simgd"), device=where, regularizers=regularizers, observers=[watch]
        )
    for batch, other in zip(*drawn.values(), strict=True):
        for k, x in batch.items():
            if isinstance(x, torch.Tensor) and not k.startswith("real"):
                assert torch.equal(x, other[k].cpu()), k
        torch.testing.assert_close(batch["real"], other["real"].cpu(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_step_of_every_solver_is_the_cpus(device: str, name: str) -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", name)
    agree(played(game, solver, device=device), played(game, solver), 1e-9)


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_a_step_on_networks_is_the_cpus(device: str, name: str, trace: bool) -> None:
    solver = cp.make("solver", name, lr=1e-4)
    agree(
        played(network(), solver, device=device, trace=trace, steps=6), played(network(), solver, steps=6), 1e-5, 1e-8
    )


@pytest.mark.parametrize("members", [2, 5])
def test_an_ensemble_is_the_cpus(device: str, members: int) -> None:
    solver = cp.make("solver", "simgd", lr=[1e-3 * (m + 1) for m in range(members)])
    one = {"members": members}
    agree(played(network(), solver, device=device, **one), played(network(), solver, **one), 1e-6, 1e-9)


@pytest.mark.parametrize("name", ["simgd", "conopt", "acgd"])
def test_with_deterministic_a_run_resumes_bit_for_bit(device: str, name: str, tmp_path: Path) -> None:
    solver = cp.make("solver", name, **ADAM if name != "acgd" else {"lr": 1e-4})
    asked: dict[str, Any] = {"steps": 14, "device": device, "deterministic": True, "trace": True}
    whole = cp.run(network(), solver, out=tmp_path / "whole", **asked)
    calls = iter(range(100))
    part = cp.run(network(), solver, out=tmp_path / "part", stop=lambda: next(calls) == 7, **asked)
    assert part.status == "interrupted"
    assert same(cp.resume(tmp_path / "part"), cp.run(network(), solver, **asked))
    assert same(cp.resume(tmp_path / "part"), whole)


@pytest.mark.parametrize("name", ["simgd", "acgd", "conopt", "extragradient", "jare"])
def test_cuda_graphs_are_captured_and_equal_plain_replay(
    device: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: list[Any] = []

    class Counting(cuda_graphs.Cuda):
        def capture(self, run, pool, device):
            captured.append(pool)
            return super().capture(run, pool, device)

    class Never(cuda_graphs.Cuda):
        def takes(self, tensors):
            return False

    game, solver = network(), cp.make("solver", name, lr=1e-4)
    results = []
    for backend in (Counting(), Never()):
        monkeypatch.setattr(cuda_graphs, "BACKEND", backend)
        results.append(played(game, solver, device=device, steps=12, trace=True, deterministic=True))
    assert captured and results[0].eager == "", results[0].eager
    agree(results[0], results[1], 1e-10)


@pytest.mark.parametrize(("name", "trace"), [("simgd", False), ("simgd", True), ("conopt", True)])
def test_the_host_waits_once_a_step(device: str, name: str, trace: bool) -> None:
    waits: list[int] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            played(
                network(), cp.make("solver", name, **ADAM), device=device, steps=12, trace=trace,
                observers=[lambda seen: waits.append(sum("synchronizing" in str(x.message) for x in said))],
            )  # fmt: skip
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # Replays are compared with their function at the fourth call, and graphs are captured at about the same time.
    assert [b - a for a, b in pairwise(waits[6:-1])] == [1] * (len(waits) - 8)


def test_out_of_memory_is_a_sentence(device: str, tmp_path: Path) -> None:
    def losses(params, batch):
        x = params["x"]["value"]
        return {"x": x.sum() + torch.empty(2**45, dtype=torch.uint8, device=x.device).sum()}

    game = cp.game_from_losses(losses, {"x": {"value": torch.ones(2)}})
    with pytest.raises(cp.OutOfMemory) as raised:
        cp.run(game, cp.make("solver", "simgd"), steps=3, device=device, out=tmp_path / "r")
    assert str(raised.value).startswith("there is not enough memory of the GPU for a step")
    assert "Lower the batch" in str(raised.value)


def test_metrics_and_spectra_are_the_cpus(device: str) -> None:
    game, solver = (
        cp.make("game", "mixture", hidden=4, layers=1, batch=8, latent=2),
        cp.make("solver", "simgd", lr=1e-3),
    )
    settings: dict[str, Any] = {"spectrum_every": 4, "sample_every": 2, "history": True, "steps": 4}
    found, expected = (played(game, solver, device=where, **settings).history for where in (device, "cpu"))
    for name in ("metrics/good_samples", "metrics/modes_found", "step/losses", "spectrum/gradient_norm"):
        torch.testing.assert_close(logged(found, name), logged(expected, name), rtol=1e-6, atol=1e-9)
    moduli = [logged(h, "spectrum/eigenvalues").abs() for h in (found, expected)]
    torch.testing.assert_close(*moduli, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_metrics_of_images_are_the_cpus(device: str) -> None:
    game, solver = cp.make("game", "digits", hidden=4, batch=8), cp.make("solver", "simgd")
    found, expected = (
        played(game, solver, device=where, sample_every=1, history=True).history for where in (device, "cpu")
    )
    for name in ("metrics/digit_score", "metrics/confidence"):
        torch.testing.assert_close(logged(found, name), logged(expected, name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("switch", ["tf32", "channels_last", "deterministic"])
def test_switches_change_only_rounding(device: str, switch: str) -> None:
    solver = cp.make("solver", "simgd", lr=1e-3)
    asked: dict[str, Any] = {"device": device, "dtype": "float32", "steps": 8, "trace": True}
    plain, switched = (played(network(), solver, **asked, **on) for on in ({}, {switch: True}))
    agree(switched, plain, 1e-2, 1e-4)


def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(cp.UsageError, match="finds only cuda:0"):
        played(cp.make("game", "quadratic"), cp.make("solver", "simgd"), device="cuda:99")
