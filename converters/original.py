"""torchvision's own network, and the output of every one of its modules: what a converted network is compared with."""

import importlib.util
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks.vit import CLASS, PATCHES
from bias_jax.networks.vit_family import ROWS
from converters.names import DROPPED_SUFFIX, head_layers, training_only


@cache
def import_torchvision() -> Any:
    """torchvision, also beside a build of torch for which its compiled operators do not load.

    Raises:
        InputError: torch or torchvision is not installed, or they do not work together.
    """
    remedy = "pip install 'bias-jax[verify]'"
    try:
        import torch
    except ImportError:
        raise InputError("torch is needed to run the original network", remedy=remedy) from None
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise InputError("torchvision is needed to build the original network", remedy=remedy)
    try:
        for library in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(str(library))
    except OSError:
        # Without its compiled operators, torchvision trips over the missing schemas of two of them (for detection,
        # which no network here does) while it is imported.
        _SCHEMAS.append(torch.library.Library("torchvision", "DEF"))
        for operator in ("nms", "qnms"):
            _SCHEMAS[-1].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"torchvision does not fit the installed torch ({reason})", remedy=remedy) from None
    return torchvision


def import_transformers() -> Any:
    """transformers, which imports torchvision for itself wherever that is installed.

    Raises:
        InputError: torch or transformers is not installed, or torchvision does not fit torch.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
        raise InputError("torch and transformers are needed", remedy="pip install torch transformers")
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    import transformers

    return transformers


_SCHEMAS: list[Any] = []  # must live as long as the process


def original_network(name: str, state_dict: Mapping[str, np.ndarray], side: int | None = None) -> Any:
    """torchvision's module in eval mode with these weights, as it is built for its published ones.

    Args:
        name: a network.
        state_dict: torchvision's names and shapes; what serves training only is not needed.
        side: of the pictures in pixels, to which a vision transformer's positions are interpolated; None: that of the
            weights.

    Raises:
        InputError: torch or torchvision is not installed, or the weights lack the classifier that it has.
    """
    models = import_torchvision().models
    import torch

    builder, options = getattr(models, name), {}
    used = {key: value for key, value in state_dict.items() if not training_only(name, key)}
    tensors = {key: torch.from_numpy(np.array(value, np.float32)) for key, value in used.items()}
    if name in ROWS:
        last, patch = "heads.head", ROWS[name].architecture.patch
        learnt = patch * math.isqrt(len(state_dict["encoder.pos_embedding"][0]) - 1)
        options = {"image_size": side or learnt}
        tensors = models.vision_transformer.interpolate_embeddings(side or learnt, patch, tensors)
    else:
        last = head_layers(name)[-1]
    if f"{last}.bias" not in state_dict:
        raise InputError(f"they have no {last}, without which torchvision has no network", remedy="use whole weights")
    if name == "inception_v3":
        options = {"transform_input": True, "init_weights": False, "aux_logits": False}
    with torch.device("meta"):  # the weights are about to be replaced
        model = builder(weights=None, num_classes=len(state_dict[f"{last}.bias"]), **options)
    tensors |= {key: torch.tensor(0) for key in model.state_dict() if key.endswith(DROPPED_SUFFIX)}
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def original_activations(model: Any, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits [N, C] and the output of every module call, NHWC, by torchvision's node names.

    Outputs are cloned when they appear: torchvision's ReLUs overwrite their input. Tokens [N, 1 + h * w, d] are parted
    in ``NODE.class`` and the map ``NODE.patches``.

    Args:
        model: from `original_network`; its dtype is used.
        images: normalised float32 [N, H, W, 3].
    """
    import torch

    found: dict[str, np.ndarray] = {}
    calls: dict[str, int] = defaultdict(int)

    def record(path: str, output: Any) -> None:
        node = path if calls[path] == 0 else f"{path}_{calls[path]}"  # a module called again gets a numbered node
        calls[path] += 1
        value = (output[0] if isinstance(output, tuple) else output).detach().clone().numpy()
        if value.ndim == 3:
            side = math.isqrt(value.shape[1] - 1)
            found[f"{node}.{CLASS}"] = value[:, 0]
            found[f"{node}.{PATCHES}"] = value[:, 1:].reshape(len(value), side, side, -1)
            return
        found[node] = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value

    def hook(path: str) -> Any:
        return lambda module, inputs, output: record(path, output)

    handles = [module.register_forward_hook(hook(path)) for path, module in model.named_modules() if path]
    dtype = next(model.parameters()).dtype
    try:
        with torch.no_grad():
            logits = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(dtype))
    finally:
        for handle in handles:
            handle.remove()
    return logits.numpy(), found
