"""The state of a run on disk and back, and what is damaged."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import counterplay as cp
from counterplay.core.game.buffers import TYPES
from counterplay.core.run.checkpoint import read_start, save_checkpoint
from counterplay.core.run.flat_tensors import flatten
from counterplay.core.storage.checkpoint_files import load_checkpoint, newest, unflatten

from ..support.cases import F64, identical, random

TENSORS = {
    "params": {"x": {"layers.0.weight": random(2, 3), "a/b c%é": random(2)}},
    "memory": {"rule": {"x": {"t": torch.tensor(3), "m": {"w": random(2).float()}}}},
    "flags": {"alive": torch.tensor([True, False]), "state": torch.arange(5, dtype=torch.uint8)},
    "others": {"none": torch.zeros(0, 3), "half": random(2).half(), "complex": random(2).to(torch.complex64)},
}
BFLOAT = {"params": {"x": {"w": random(2).bfloat16()}}}  # which numpy does not know


def test_names_and_givencome_back():
    assert identical(unflatten(flatten(TENSORS)), TENSORS)
    assert all("é" not in name and name.count("/") >= 1 for name in flatten(TENSORS))


def test_views_and_shared_tensors_are_saved_whole(tmp_path):
    x = random(3)
    shared = {"params": {"a": {"b": x.expand(2, 3), "c": x, "d": random(4, 2).T}}, "memory": {"slow": x}}
    tensors, _ = load_checkpoint(save_checkpoint(tmp_path, 1, shared, {}))
    assert identical(tensors, shared)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_written_as_the_library_does(tmp_path, dtype):
    x = {"params": {"x": {"a": random(3).to(dtype), "b": random(2, 2).float(), "c": random(1).to(dtype)}}}
    path = save_checkpoint(tmp_path, 1, x, {})
    with safe_open(path / "tensors.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
    assert identical(found, dict(sorted(flatten(x).items())))


@pytest.mark.parametrize(("given", "synced"), [(TENSORS, True), (BFLOAT, False)])
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, given, synced):
    path = save_checkpoint(tmp_path, 7, given, {"step": 7, "x": [0.1, 1e-320]}, synced=synced)
    assert path == tmp_path / "checkpoints" / "step-7"
    tensors, state = load_checkpoint(path)
    assert identical(tensors, given) and state == {"step": 7, "x": [0.1, 1e-320]}
    assert {p.name for p in path.iterdir()} == {"tensors.safetensors", "state.json", "manifest.json"}
    assert [p.name for p in path.parent.iterdir()] == ["step-7"], "nothing temporary is left"


def test_saving_again_replaces_and_a_crashed_draft_is_no_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, {"params": {"x": {"w": torch.zeros(1)}}}, {})
    save_checkpoint(tmp_path, 1, {"params": {"x": {"w": torch.ones(1)}}}, {})
    draft = tmp_path / "checkpoints" / ".step-2.tmp"
    draft.mkdir()
    (draft / "tensors.safetensors").write_bytes(b"half")
    assert newest(tmp_path).name == "step-1" and cp.load_params(tmp_path)["x"]["w"] == 1
    save_checkpoint(tmp_path, 2, {"params": {"x": {"w": torch.zeros(1)}}}, {})
    assert newest(tmp_path).name == "step-2"


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_is_refused_and_passed_over(tmp_path, name, damage):
    save_checkpoint(tmp_path, 9, {"params": {"x": {"w": torch.zeros(1)}}}, {})
    path = save_checkpoint(tmp_path, 10, {"params": {"x": {"w": torch.ones(1)}}}, {"step": 10})
    data = (path / name).read_bytes()
    if damage == "gone":
        (path / name).unlink()
    else:
        middle = len(data) // 2
        (path / name).write_bytes(
            data[:middle] + (bytes([data[middle] ^ 1]) + data[middle + 1 :] if damage == "flip" else b"")
        )
    with pytest.raises(cp.BadLog):
        load_checkpoint(path)
    assert newest(tmp_path).name == "step-9", "10 comes after 9, and is no good"
    with pytest.raises(cp.BadLog, match=r"step-10, is damaged.*step=9\)"):
        cp.load_params(tmp_path)  # no other point is taken for the newest
    assert cp.load_params(tmp_path, step=9)["x"]["w"] == 0


def test_the_order_of_players_and_givenis_kept(tmp_path):
    """By it parameters are counted: in a Jacobian, in a trajectory. The file format sorts."""
    params = {"y": {"b": random(1), "a": random(5)}, "x": {"w": torch.tensor(1)}}
    save_checkpoint(tmp_path, 0, {"params": params}, {})
    assert [(i, list(t)) for i, t in cp.load_params(tmp_path).items()] == [("y", ["b", "a"]), ("x", ["w"])]


def test_a_manifest_that_agrees_with_damage_is_still_no_checkpoint(tmp_path):
    path = save_checkpoint(tmp_path, 0, {"params": {"x": {"w": torch.zeros(1)}}}, {})
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["state.json"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(cp.BadLog):
        load_checkpoint(path)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(cp.UsageError, match="no checkpoint"):
        newest(tmp_path)


def test_a_stray_directory_does_not_hide_the_checkpoints(tmp_path):
    save_checkpoint(tmp_path, 3, {"params": {"x": {"w": torch.ones(1)}}}, {})
    (tmp_path / "checkpoints" / "step-old").mkdir()
    assert newest(tmp_path).name == "step-3"


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(cp.StorageError):
        save_checkpoint(tmp_path, 0, {"params": {"x": {"w": torch.zeros(1)}}}, {})


# ------------------------------------------------------------------------------------------------------ starting points


def sorted_tree(params):
    return {i: dict(sorted(params[i].items())) for i in sorted(params)}


def test_a_start_from_a_file_or_a_run(tmp_path):
    params = {"x": {"value": random(1)}, "y": {"value": random(1, seed=1)}}
    save_file(flatten(params), tmp_path / "p.safetensors")
    assert identical(sorted_tree(read_start(tmp_path / "p.safetensors")), params)
    save_file(flatten({"params": params, "memory": {"x": {"m": random(1)}}}), tmp_path / "whole.safetensors")
    assert identical(sorted_tree(read_start(tmp_path / "whole.safetensors")), params)
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run", 4, {"params": params}, {})
    assert identical(read_start(tmp_path / "run"), params)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors", "flat"])
def test_a_start_that_cannot_be_read_is_a_sentence(tmp_path, content):
    path = tmp_path / "p.safetensors"
    if content == "flat":
        save_file({"value": random(1)}, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(cp.UsageError, match="starting point"):
        read_start(path)


def test_a_run_leaves_its_last_state(tmp_path):
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr=0.01, rule="adam")
    result = cp.run(game, solver, steps=5, seed=3, out=tmp_path / "run", checkpoint_every=2)
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-0",
        "step-2",
        "step-4",
        "step-5",
    ]
    assert identical(cp.load_params(tmp_path / "run"), result.params)
    tensors, state = load_checkpoint(newest(tmp_path / "run"))
    assert state["step"] == 5 and identical(tensors["memory"]["rule"], result.memory["rule"])
    assert tensors["params"]["x"]["value"].dtype == F64
    first, _ = load_checkpoint(tmp_path / "run" / "checkpoints" / "step-0")
    again = cp.run(game, solver, steps=5, start=first["params"])
    assert identical(again.params, result.params)
