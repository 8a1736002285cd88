"""Tensors, arrays and modules that a loss reads: assigned, written to, replaced, looked at as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import counterplay as cp

from ..support.changing_games import (
    Act,
    Make,
    Net,
    WithNet,
    a_counter,
    a_target_network,
    assert_seen,
    eval_mode,
    of,
    once,
)


def an_array() -> tuple[cp.Game, Act]:
    alpha = np.ones(2)
    return of(lambda: torch.tensor(alpha)), once(lambda: alpha.__setitem__(slice(None), 2.0))


def a_tensor_assigned() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)

    def change() -> None:
        nonlocal target
        target = 2 * target

    return of(lambda: target), once(change)


def a_tensor_written_to() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)
    return of(lambda: target), once(lambda: target.mul_(2))


def a_tensor_read_as_a_list() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)
    return of(lambda: target.tolist()[0]), once(lambda: target.mul_(2))


def other_data() -> tuple[cp.Game, Act]:
    target = nn.Parameter(torch.ones(2, dtype=torch.float64))
    return of(lambda: target.detach()), once(lambda: setattr(target, "data", 2 * target.data))


def eval_mode_in_a_closure() -> tuple[cp.Game, Act]:
    net = Net()
    return of(lambda: net(torch.ones(2, dtype=torch.float64))), once(net.eval)


def loaded_weights() -> tuple[cp.Game, Act]:
    net, other = Net(), Net()
    other.dense.weight.data.mul_(3)
    return WithNet(net), once(lambda: net.load_state_dict(other.state_dict()))


def a_weight_assigned() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: setattr(net.dense, "bias", nn.Parameter(torch.ones(2, dtype=torch.float64))))


def a_hook() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: net.dense.register_forward_hook(lambda m, x, y: 2 * y))


def a_method_assigned() -> tuple[cp.Game, Act]:
    net = Net()
    return WithNet(net), once(lambda: setattr(net, "forward", lambda x: 3 * x))


def on_a_tensor() -> tuple[cp.Game, Act]:
    target: Any = torch.ones(2, dtype=torch.float64)
    target.scale = 1.0
    return of(lambda: target * target.scale), once(lambda: setattr(target, "scale", 2.0))


def a_number_in_a_tensor() -> tuple[cp.Game, Act]:
    alpha = torch.ones((), dtype=torch.float64)
    return of(lambda: alpha.item() if alpha > 0 else 0.0), once(lambda: alpha.mul_(2))


def a_shape() -> tuple[cp.Game, Act]:
    target = torch.ones(4, dtype=torch.float64)
    return of(lambda: len(target) / 4 + target.mean()), once(lambda: setattr(target, "data", target.data[:2]))


def a_write_past_the_counter() -> tuple[cp.Game, Act]:
    target = torch.ones((), dtype=torch.float64)
    return of(lambda: target.item()), once(lambda: target.data.mul_(2))


def memory_of_numpy_s() -> tuple[cp.Game, Act]:
    array = np.ones(2)
    target = torch.from_numpy(array)
    return of(lambda: target.tolist()[0]), once(lambda: array.fill(2.0))


def an_array_of_another_type() -> tuple[cp.Game, Act]:
    array = np.ones(1)
    return of(lambda: float(array.dtype.kind == "f")), once(lambda: setattr(array, "dtype", np.int64))


def on_an_array() -> tuple[cp.Game, Act]:
    class Named(np.ndarray):
        alpha = 1.0

    array = np.ones(2).view(Named)
    return of(lambda: array.alpha), once(lambda: setattr(array, "alpha", 2.0))


def whether_it_is_trained() -> tuple[cp.Game, Act]:
    target = torch.ones(2, dtype=torch.float64)
    return of(lambda: 2.0 if target.requires_grad else 1.0), once(lambda: target.requires_grad_(True))


def its_gradient() -> tuple[cp.Game, Act]:
    target = nn.Parameter(torch.ones(2, dtype=torch.float64))
    target.grad = torch.ones(2, dtype=torch.float64)
    return of(lambda: target.grad), once(lambda: setattr(target, "grad", 2 * target))


CHANGES = [
    an_array, a_tensor_assigned, a_tensor_written_to, a_tensor_read_as_a_list, other_data, a_counter, a_target_network,
    eval_mode, eval_mode_in_a_closure, loaded_weights, a_weight_assigned, a_hook, a_method_assigned, on_a_tensor,
    a_number_in_a_tensor, a_shape, a_write_past_the_counter, memory_of_numpy_s, an_array_of_another_type, on_an_array,
    whether_it_is_trained, its_gradient,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Setting the dtype:DeprecationWarning")  # from numpy 2.5 on
@pytest.mark.parametrize("make", CHANGES, ids=lambda f: f.__name__)
def test_what_changes_is_seen(make: Make) -> None:
    assert_seen(make, 5 if make is a_target_network else 3)
