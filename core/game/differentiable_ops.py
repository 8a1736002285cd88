"""Functions of torch whose fused kernels have wrong or missing derivatives, in elementary operations.

torch's normalisations are silently wrong, by 2 to 90 % in float64, in every third derivative and in products with the
Jacobian of a vmapped field; its weight_norm is wrong from the second derivative on. Fused attention has no second
derivative. Each function here takes the arguments of torch's low-level function (``torch.batch_norm``, not
``torch.nn.functional.batch_norm``), and returns the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .normalization import by_channel, normalize, scale_and_shift, standardize


class WouldDraw(Exception):
    """With these arguments the function would draw random numbers."""


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Uses the statistics of the batch in training, else the running ones. It never updates those."""
    if training or running_mean is None or running_var is None:
        return normalize(input, weight, bias, eps=eps)
    x = (input - by_channel(running_mean, input)) * (by_channel(running_var, input) + eps).rsqrt()
    return scale_and_shift(x, weight, bias)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Each sample and channel by its own mean and variance, or by the running ones; it never updates those."""
    if not use_input_stats:
        return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    return normalize(input, weight, bias, per_sample=True, eps=eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Each sample by its mean and variance over the last axes, as many as ``normalized_shape`` has."""
    x = standardize(input, list(range(-len(normalized_shape), 0)), eps)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Each sample by the mean and variance of each of ``num_groups`` groups of its channels."""
    grouped = input.reshape(input.shape[0], num_groups, -1)
    return scale_and_shift(standardize(grouped, [2], eps).reshape(input.shape), weight, bias)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Each sample over the root of its mean square over the last axes, as many as ``normalized_shape`` has."""
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    axes = list(range(-len(normalized_shape), 0))
    x = input * ((input * input).mean(axes, keepdim=True) + eps).rsqrt()
    return x if weight is None else x * weight


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g v / ||v||, with one norm for each index of ``dim``; as in torch, dim -1 means one norm of all of ``v``."""
    dim = dim + v.dim() if dim < -1 else dim
    axes = [d for d in range(v.dim()) if d != dim]
    return v * (g * (v * v).sum(axes, keepdim=True).rsqrt())


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Tensor:
    """By torch's unfused formula, which can be differentiated any number of times."""
    if dropout_p:
        raise WouldDraw
    out: Tensor = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, **options
    )[0]
    return out


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """If ``num_classes`` is given, no number is read: under vmap, which plays ensembles, none can be."""
    if num_classes < 0:
        return torch.nn.functional.one_hot(input)
    return (input.unsqueeze(-1) == torch.arange(num_classes, device=input.device)).to(torch.int64)


def embedding(
    weight: Tensor, input: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """With a dense gradient: the same numbers, in a form that can be added to other gradients."""
    return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, False)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    """The p-norms of all differences. As in torch, the derivative is 0 where a difference is 0."""
    d = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).abs()
    if p == 0:
        return (d != 0).to(d.dtype).sum(-1)
    if p == float("inf"):
        return d.amax(-1)
    if p == 1:
        return d.sum(-1)
    total = (torch.where(d == 0, 1.0, d).pow(p) * (d != 0)).sum(-1)
    return torch.where(total == 0, 0.0, torch.where(total == 0, 1.0, total).pow(1 / p))


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """A leaky ReLU with the middle slope. Raises WouldDraw in training, where the slope is drawn."""
    if training:
        raise WouldDraw
    return torch.nn.functional.leaky_relu(input, (lower + upper) / 2)


WRITTEN_OUT: dict[str, Callable[..., Any]] = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "rms_norm": rms_norm,
    "_weight_norm": weight_norm,
    "scaled_dot_product_attention": attention,
    "one_hot": one_hot,
    "embedding": embedding,
    "cdist": cdist,
    "rrelu": rrelu,
}

INTERNAL = {  # torch's names of the kernels themselves -> what to use instead
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), "use torch.nn.functional.layer_norm or rms_norm"),
    **dict.fromkeys(("native_group_norm",), "use torch.nn.functional.group_norm"),
    **dict.fromkeys(
        (
            "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
            "_batch_norm_impl_index", "_batch_norm_with_update", "cudnn_batch_norm", "miopen_batch_norm",
        ),
        "use torch.nn.functional.batch_norm",
    ),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        "use torch.nn.functional.scaled_dot_product_attention",
    ),
    "_weight_norm_interface": "use torch.nn.utils.parametrizations.weight_norm",
}  # fmt: skip
