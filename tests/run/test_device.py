"""``device``: cpu, cuda and cuda:N where this machine has them; everything else is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import counterplay as cp
from counterplay.core.cli.run import device_of
from counterplay.core.provenance import environment
from counterplay.core.provenance.environment import gpu_of
from counterplay.core.run.device import require_device

NO_DOUBLES = "; others have no double precision, or lack operations that derivatives of derivatives need."


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)


@pytest.mark.parametrize(
    ("name", "gpus", "said"),
    [
        ("cuda", 0, "finds no CUDA device here. Use device cpu."),
        ("cuda:0", 0, "finds no CUDA device here. Use device cpu."),
        ("cuda:1", 1, "finds only cuda:0 here. Use device cuda:0."),
        ("cuda:4", 4, "finds only cuda:0 to cuda:3 here. Use device cuda:0."),
        ("mps", 0, "device mps: expected cpu, cuda or cuda:N" + NO_DOUBLES),
        ("mps:0", 2, "device mps:0: expected cpu, cuda or cuda:N" + NO_DOUBLES),
        ("xpu", 0, "device xpu: expected cpu, cuda or cuda:N" + NO_DOUBLES),
        ("meta", 0, "device meta: expected cpu, cuda or cuda:N."),
        ("gpu", 1, "device gpu: expected cpu, cuda or cuda:N."),
        ("cuda:", 1, "device cuda:: expected cpu, cuda or cuda:N."),
        ("cuda:-1", 1, "device cuda:-1: expected cpu, cuda or cuda:N."),
        ("cuda:01", 2, "device cuda:01: expected cpu, cuda or cuda:N."),
        ("cuda:٠", 1, "device cuda:٠: expected cpu, cuda or cuda:N."),
        ("CUDA", 1, "device CUDA: expected cpu, cuda or cuda:N."),
        ("cpu:1", 0, "device cpu:1: expected cpu, cuda or cuda:N."),
        ("", 0, "device : expected cpu, cuda or cuda:N."),
    ],
)
def test_what_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, said: str) -> None:
    with_gpus(monkeypatch, gpus)
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
    with pytest.raises(cp.UsageError) as refused:
        cp.run(game, solver, steps=1, device=name)
    assert str(refused.value).endswith(said)
    with pytest.raises(cp.UsageError) as typed:
        device_of(name)
    assert str(typed.value) == "--" + str(refused.value).replace("Use device", "Use --device")


@pytest.mark.parametrize(("name", "gpus"), [("cpu", 0), ("cpu:0", 0), ("cuda", 1), ("cuda:0", 1), ("cuda:11", 12)])
def test_what_this_machine_has_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, gpus: int) -> None:
    with_gpus(monkeypatch, gpus)
    require_device(name)


def test_a_device_may_be_given_as_torch_has_it() -> None:
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd")
    assert cp.run(game, solver, steps=1, device=torch.device("cpu")).steps == 1
    with pytest.raises(cp.UsageError, match="device meta: expected cpu"):
        cp.run(game, solver, steps=1, device=torch.device("meta"))


def test_the_gpu_is_recorded_by_name_and_cuda_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if there were two. On another one a run is not resumed as if it were the same."""
    assert gpu_of(torch.device("cpu")) == {}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: ["H100", "H200"][device.index])
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    first, second = (gpu_of(torch.device("cuda", n)) for n in (0, 1))
    assert (first, second) == ({"name": "H100", "cuda": "12.8"}, {"name": "H200", "cuda": "12.8"})
    monkeypatch.setattr(environment, "gpu_of", lambda device: first)
    game, solver, steps = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.01), iter(range(3))
    cp.run(game, solver, steps=9, out=tmp_path / "d", stop=lambda: next(steps, None) is None)
    assert json.loads((tmp_path / "d/run.json").read_text())["gpu"] == first
    monkeypatch.setattr(environment, "gpu_of", lambda device: second)
    with pytest.raises(cp.UsageError, match=r"the GPU was H100 with CUDA 12\.8 and is H200 with"):
        cp.resume(tmp_path / "d")
