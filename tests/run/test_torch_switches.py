"""The switches deterministic, tf32 and channels_last: what they set, and that it is put back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import leaves
from counterplay.core.run.settings import Settings
from counterplay.core.run.torch_switches import deterministic, precision

from ..support.cases import generator


def torch_flags():
    backends: Any = torch.backends
    filling: Any = torch.utils.deterministic
    return {
        "products": backends.cuda.matmul.allow_tf32,
        "convolutions": backends.cudnn.allow_tf32,
        "products, new": backends.cuda.matmul.fp32_precision,
        "convolutions, new": (backends.cudnn.conv.fp32_precision, backends.cudnn.rnn.fp32_precision),
        "processor": backends.mkldnn.matmul.fp32_precision,
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "cudnn": (backends.cudnn.deterministic, backends.cudnn.benchmark),
        "filled": filling.fill_uninitialized_memory,
        "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def watched(seen):
    """A game that notes torch's flags at each draw, and when its samples and its spectra are computed."""

    class Watched(cp.Game):
        players = ("x",)

        def init(self, rng):
            return {"x": {"kernel": torch.randn(2, 3, 3, 3, generator=rng)}}

        def sample(self, rng, buffers):
            seen.append(torch_flags())
            return {"real": torch.randn(4, 3, 5, 5, generator=rng)}

        def losses(self, params, batch):
            return {"x": torch.nn.functional.conv2d(batch["real"], params["x"]["kernel"]).square().mean()}

        def metrics(self, params, batch):
            seen_in_metrics.append(torch_flags())
            return {}

    seen_in_metrics: list[Any] = []
    return Watched(), seen_in_metrics


SGD = {"lr": 0.01}


def test_the_flags_are_set_during_a_run_and_put_back_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before, seen = torch_flags(), list[Any]()
    game, _ = watched(seen)
    cp.run(game, cp.make("solver", "simgd", **SGD), steps=2, deterministic=True, tf32=True)
    assert torch_flags() == before
    assert {(x["products"], x["convolutions"]) for x in seen} == {(True, True)}
    assert {(x["deterministic"], x["cudnn"], x["cublas"], x["filled"]) for x in seen} == {
        (2, (True, False), ":4096:8", False)
    }
    seen.clear()
    cp.run(game, cp.make("solver", "simgd", **SGD), steps=2)
    assert torch_flags() == before
    assert {(x["products"], x["convolutions"]) for x in seen} == {(False, False)}
    assert {(x["deterministic"], x["cudnn"], x["cublas"]) for x in seen} == {(0, (False, False), None)}


def test_what_is_measured_is_measured_in_full_precision(tmp_path: Path) -> None:
    game, in_metrics = watched([])
    cp.run(game, cp.make("solver", "simgd", **SGD), steps=2, tf32=True, sample_every=1, out=tmp_path / "r")
    assert [(x["products"], x["convolutions"]) for x in in_metrics] == [(False, False)] * len(in_metrics) != []


def test_on_the_cpu_neither_changes_a_bit() -> None:
    game, solver = cp.make("game", "digits", hidden=4, batch=4), cp.make("solver", "conopt")
    pairs = (False, False), (True, False), (False, True)
    plain, *others = (cp.run(game, solver, steps=3, tf32=a, deterministic=b) for a, b in pairs)
    assert all(torch.equal(x, y) for r in others for x, y in zip(leaves(r.params), leaves(plain.params), strict=True))


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_the_users_own_precision_comes_back(chosen: str) -> None:
    backends: Any = torch.backends
    first, processor = torch.get_float32_matmul_precision(), backends.mkldnn.matmul.fp32_precision
    try:
        torch.set_float32_matmul_precision(chosen)
        torch.backends.cudnn.allow_tf32 = False
        before = torch_flags()
        for tf32 in (False, True):
            with pytest.raises(KeyError), precision(tf32):
                assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32
                raise KeyError
            assert torch_flags() == before
    finally:
        torch.set_float32_matmul_precision(first)
        torch.backends.cudnn.allow_tf32 = True
        backends.mkldnn.matmul.fp32_precision = processor


def test_the_users_own_deterministic_mode_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = torch_flags()
        with deterministic(True):
            assert torch_flags() == before | {"deterministic": 2, "cudnn": (True, False), "filled": False}
        assert torch_flags() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_an_operation_without_a_deterministic_form_is_named() -> None:
    def losses(params, batch):
        # On the CPU every operation has one; this is how torch tells of it on a GPU.
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch...'")

    game = cp.game_from_losses(losses, {"x": {"value": torch.ones(1)}})
    with pytest.raises((cp.UsageError, cp.PluginError)) as raised:
        cp.run(game, cp.make("solver", "simgd"), steps=1, deterministic=True)
    assert "cumsum_cuda_kernel does not have a deterministic implementation" in str(raised.value)
    with pytest.raises(cp.UsageError) as raised, deterministic(True):
        losses({}, {})
    assert str(raised.value) == (
        "deterministic: cumsum_cuda_kernel does not have a deterministic implementation here; leave deterministic out."
    )


# ------------------------------------------------------------------------------------------------- channels last


def images(**options):
    return cp.make("game", "digits", network="conv", hidden=4, batch=4, **options)


def last(x):
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def test_channels_last_holds_for_parameters_memory_and_batches_and_changes_only_rounding(tmp_path: Path) -> None:
    solver, seen = cp.make("solver", "simgd", rule={"name": "adam"}, lr=0.01), list[Any]()
    runs = [
        cp.run(images(), solver, steps=4, dtype="float64", channels_last=on, trace=traced, observers=[seen.append])
        for on, traced in ((False, False), (True, False), (True, True))
    ]
    kernel = lambda r: r.params["discriminator"]["2.weight"]  # noqa: E731
    assert [last(kernel(r)) for r in runs] == [False, True, True]
    assert last(runs[1].memory["rule"]["discriminator"]["m"]["2.weight"])
    assert not last(seen[0].params["discriminator"]["2.weight"]) and last(seen[5].params["discriminator"]["2.weight"])
    for r in runs[1:]:
        torch.testing.assert_close(r.params, runs[0].params, rtol=1e-10, atol=1e-12)


def test_a_run_with_channels_last_resumes_bit_for_bit(tmp_path: Path) -> None:
    solver, whole = cp.make("solver", "simgd", rule={"name": "adam"}, lr=0.01), tmp_path / "whole"
    first = cp.run(images(), solver, steps=6, channels_last=True, deterministic=True, tf32=True, out=whole)
    calls = iter(range(100))
    part = tmp_path / "part"
    stopped = cp.run(
        images(), solver, steps=6, channels_last=True, deterministic=True, tf32=True, out=part,
        stop=lambda: next(calls) == 3,
    )  # fmt: skip
    assert stopped.status == "interrupted"
    settings = json.loads((part / "run.json").read_text())["settings"]
    assert settings["channels_last"] is settings["deterministic"] is settings["tf32"] is True
    again = cp.resume(part)
    for i, tree in first.params.items():
        for k, x in tree.items():
            assert torch.equal(x, again.params[i][k]) and x.stride() == again.params[i][k].stride()


def test_channels_last_is_refused_for_ensembles() -> None:
    with pytest.raises(cp.UsageError, match="channels-last is for single runs"):
        cp.run(images(), cp.make("solver", "simgd"), steps=1, members=2, channels_last=True)


@pytest.mark.parametrize("name", ["deterministic", "tf32", "channels_last"])
def test_a_switch_is_true_or_false_off_by_default_and_off_in_old_runs(name: str) -> None:
    with pytest.raises(cp.UsageError, match=f"{name.replace('_', '-')} must be true or false, got 'yes'."):
        Settings.read({name: "yes"}).checked()
    facts = Settings().facts()
    assert facts.pop(name) is False
    assert getattr(Settings.read(facts), name) is False


def test_without_channels_last_nothing_is_copied() -> None:
    from counterplay.core.derivatives.placement import Placement

    x = torch.randn(2, 3, 4, 4, generator=generator())
    assert Placement()({"x": x})["x"] is x and Placement(torch.float32, "cpu")([x])[0] is x
    assert Placement(torch.float64)([x])[0].dtype is torch.float64
    assert last(Placement(channels_last=True)([x])[0])
