"""Memory that runs out in a run: one sentence that says what to lower, exit code 71, the state before it saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import counterplay as cp
from counterplay.core.errors import OutOfMemory, out_of_memory
from counterplay.core.storage.checkpoint_files import newest

LOWER = (
    "Lower the batch, the sizes of the networks (filters, hidden), members, or how often spectra are recorded "
    "(spectrum-every)."
)
ON_A_GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1 is free."


def on_a_gpu():
    raise torch.OutOfMemoryError(ON_A_GPU)


def on_the_cpu():
    return torch.empty(2**60, dtype=torch.uint8)


def game(ask, after):
    """A game whose losses ask for too much memory once they have been evaluated ``after`` times."""
    seen: list[int] = []

    def losses(params, batch):
        if len(seen) >= after:
            ask()
        seen.append(1)
        x, y = params["x"]["value"], params["y"]["value"]
        return {"x": (x * y).sum(), "y": -(x * y).sum()}

    return cp.game_from_losses(losses, {i: {"value": torch.ones(1)} for i in "xy"})


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (on_a_gpu, "there is not enough memory of the GPU for a step, which asked for another 2.00 GiB. "),
        (on_the_cpu, f"there is not enough memory for a step, which asked for another {2**60} bytes. "),
    ],
)
def test_the_state_before_is_saved_and_a_sentence_says_what_to_lower(ask, said: str, tmp_path: Path) -> None:
    out = tmp_path / "r"
    with pytest.raises(cp.OutOfMemory) as raised:
        cp.run(game(ask, 30), cp.make("solver", "simgd", lr=0.1), steps=100, out=out, trace=False, compile=False)
    assert str(raised.value) == said + LOWER and raised.value.exit_code == 71
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "failed" and said in status["reason"] and status["step"] > 5
    assert newest(out).name == f"step-{status['step']}"
    assert len(cp.open_log(out)["step/losses"]) == status["step"]


def test_the_command_line_ends_with_71(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from counterplay.core.cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("big.py").write_text(
        "import torch, counterplay as cp\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Big(cp.Game):\n"
        "    players = ('x',)\n"
        "    def init(self, rng): return {'x': {'value': torch.ones(1)}}\n"
        "    def losses(self, params, batch): return {'x': torch.ones(2**60).sum() * params['x']['value'].sum()}\n"
        "@cp.hookimpl\ndef register_games(): return [cp.Entry('big', Big, 'too large', 'ours')]\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["run", "big", "--solver", "simgd", "--plugin", "big.py", "--out", "r"])
    err = capsys.readouterr().err
    assert ended.value.code == 71 and "Error: there is not enough memory for a step" in err and LOWER in err
    assert "Traceback" not in err and "plugin" not in err  # nobody's code is to blame


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("any words"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("Storage size calculation overflowed with sizes=[4611686018427387904]"),
    ],
)
def test_the_errors_of_torch_numpy_and_python_are_known(error: Exception) -> None:
    assert isinstance(out_of_memory(error), OutOfMemory)


@pytest.mark.parametrize("error", [RuntimeError("index out of range"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert out_of_memory(error) is None


def test_numpy_says_how_much_it_asked_for() -> None:
    with pytest.raises(MemoryError) as raised:
        np.empty(2**62, dtype=np.uint8)
    assert "asked for another 4.00 EiB" in str(out_of_memory(raised.value))
