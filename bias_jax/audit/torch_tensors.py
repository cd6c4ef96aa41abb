"""torch's tensors: what a module gives, pooled where it is, and the way from JAX to torch and back.

torch is imported when it is needed, never before.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bias_jax.activations.pooling import MAX_SIDE, grid_shape
from bias_jax.errors import InputError


def import_torch() -> Any:
    """torch.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise InputError("torch is not installed", remedy="pip install 'bias-jax[torch]'") from None
    return torch


def tensor_of(output: Any) -> Any:
    """The first floating tensor of what a module gives: itself, or in a tuple, list or mapping; None: there is none."""
    torch = import_torch()
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else None
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(tensor_of, parts) if found is not None), None)


def as_maps(tensor: Any, channels_last: bool) -> Any:
    """Feature maps [N, U, H, W], or features [N, D], also of tokens [N, T, D]; None: it is something else."""
    if tensor.ndim == 3:
        return tensor.float().mean(dim=1)
    if tensor.ndim == 4 and channels_last:
        return tensor.permute(0, 3, 1, 2)
    return tensor if tensor.ndim in (2, 4) and tensor.numel() else None


def pool_in_torch(rule: str, x: Any) -> Any:
    """`activations.pool` of feature maps [N, U, H, W] or features [N, D], float32 [N, h * w * U], channels fastest."""
    from torch.nn import functional

    x = x.float()
    if x.ndim == 4:
        height, width = x.shape[2:]
        windows = [math.ceil(side / MAX_SIDE) for side in (height, width)]
        if rule == "subsample":
            x = x[:, :, :: windows[0], :: windows[1]]
        elif rule == "window":
            x = functional.avg_pool2d(x, windows)
        elif rule != "none":
            shape = (len(x), height, width, x.shape[1])
            x = functional.adaptive_avg_pool2d(x, grid_shape(rule, shape)[:2])
        x = x.permute(0, 2, 3, 1)
    # A tensor of its own: what is behind a module may write into what the module gave.
    return x.reshape(len(x), -1).clone(memory_format=import_torch().contiguous_format)


def to_torch(array: jax.Array, place: Any, dtype: Any) -> Any:
    """A tensor of its own, for a network may write into what it gets."""
    torch, array = import_torch(), jax.block_until_ready(array)
    try:
        tensor = torch.from_dlpack(array)
    except (RuntimeError, BufferError):  # this build of torch knows nothing of JAX's device
        tensor = torch.from_numpy(np.array(array))
    return tensor.to(device=place, dtype=dtype if tensor.is_floating_point() else None, copy=True).contiguous()


def from_torch(tensor: Any, device: jax.Device) -> jax.Array:
    """JAX's array on a device, without a copy where the tensor is there."""
    kinds = {"cpu": "cpu", "cuda": "gpu"}
    tensor = tensor.detach()
    if kinds.get(tensor.device.type) != device.platform:
        tensor = tensor.cpu()
    try:
        return jax.device_put(jax.dlpack.from_dlpack(tensor), device)
    except RuntimeError:  # this build of JAX knows nothing of torch's device
        return jax.device_put(tensor.cpu().numpy(), device)
