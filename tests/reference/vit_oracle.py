"""Vision transformers of torchvision, timm and transformers as oracles, at a tiny size with seeded weights.

`python -m tests.reference.vit_oracle` writes the frozen values beside this file; it needs torch, torchvision, timm and
transformers, the tests that use the values need none of them.
"""

import importlib.util
import json
from functools import cache, partial
from pathlib import Path

import numpy as np

from converters.original import import_torchvision, import_transformers
from tests.reference.torch_oracle import rng_for, sample_positions, seeded_images

FILE = Path(__file__).parent / "vit.npz"
BLOCKS, WIDTH, HEADS, PATCH, GRID = 3, 48, 4, 8, 4
CLASSES, PROJECTION, REGISTERS = 10, 20, 4
LEARNT, OTHER = (GRID * PATCH,) * 2, (24, 56)  # for the other, rows are fewer and columns more
# Case -> network of the registry of which it is a tiny copy; torchvision's takes square pictures only.
NETWORK = {
    "torchvision": "vit_b_16", "deit": "deit_b_16", "deit3": "deit3_b_16", "dinov2": "dinov2_b_14",
    "dinov2_reg4": "dinov2_b_14_reg4", "clip": "clip_b_32", "openclip": "openclip_b_32", "siglip": "siglip_b_16",
    "transformers_clip": "clip_b_32", "transformers_siglip": "siglip_b_16",
}  # fmt: skip
SIZES = {case: (LEARNT, (48, 48) if case == "torchvision" else OTHER) for case in NETWORK}
SMALL = 0.02  # scale of what enters the first block, so that the epsilon of its norm shows


def seeded_state_dict(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """From names and shapes alone."""
    result = {}
    for key, shape in shapes.items():
        rng = rng_for("vit", key)
        if len(shape) == 1 and key.endswith(("weight", "gamma")):
            result[key] = rng.uniform(0.5, 1.5, shape)
        elif "patch_emb" in key or "conv_proj" in key:
            result[key] = rng.standard_normal(shape) * SMALL / np.sqrt(np.prod(shape[1:]))
        elif key.endswith(("token", "class_embedding", "pos_embed", "pos_embedding", "position_embedding.weight")):
            result[key] = rng.standard_normal(shape) * SMALL
        elif key.endswith(("latent", "probe")):
            result[key] = rng.standard_normal(shape)
        elif len(shape) == 1:
            result[key] = rng.standard_normal(shape) * 0.3
        else:
            result[key] = rng.standard_normal(shape) * np.sqrt(2 / shape[-1])
    return {key: value.astype(np.float32) for key, value in result.items()}


def importable(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", *names))


def needed(case: str) -> str:
    """The package that a case comes from."""
    return case if case == "torchvision" else "transformers" if case.startswith("transformers") else "timm"


def model(case: str):
    """The original network, in eval mode, with weights of its own."""
    vision = import_torchvision().models.vision_transformer
    import torch

    torch.manual_seed(0)
    if case == "torchvision":
        return vision.VisionTransformer(LEARNT[0], PATCH, BLOCKS, HEADS, WIDTH, 4 * WIDTH, num_classes=CLASSES).eval()
    if case.startswith("transformers"):
        transformers = import_transformers()
        clip = case.endswith("_clip")
        config = transformers.CLIPVisionConfig if clip else transformers.SiglipVisionConfig
        kind = transformers.CLIPVisionModelWithProjection if clip else transformers.SiglipVisionModel
        options = {"projection_dim": PROJECTION} if clip else {}
        return kind(config(
            hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=BLOCKS, num_attention_heads=HEADS,
            image_size=LEARNT[0], patch_size=PATCH, **options,
        )).eval()  # fmt: skip
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import VisionTransformer

    clip = {"pre_norm": True, "norm_layer": partial(LayerNorm, eps=1e-5), "num_classes": PROJECTION}
    options = {
        "deit": {"num_classes": CLASSES},
        "deit3": {"num_classes": CLASSES, "no_embed_class": True, "init_values": 1e-6},
        "dinov2": {"num_classes": 0, "init_values": 1e-5},
        "dinov2_reg4": {"num_classes": 0, "init_values": 1e-5, "reg_tokens": REGISTERS, "no_embed_class": True},
        "clip": {**clip, "act_layer": "quick_gelu"},
        "openclip": clip,
        "siglip": {"num_classes": 0, "class_token": False, "global_pool": "map", "act_layer": "gelu_tanh"},
    }[case]
    return VisionTransformer(
        img_size=LEARNT[0], patch_size=PATCH, embed_dim=WIDTH, depth=BLOCKS, num_heads=HEADS, dynamic_img_size=True,
        **options,
    ).eval()  # fmt: skip


def shapes_of(network) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items() if "position_ids" not in key}


def outputs(case: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the original gives at every block, norm and head, by our names, computed in float64."""
    import torch

    network = model(case)
    weights = {key: torch.tensor(value) for key, value in seeded_state_dict(shapes_of(network)).items()}
    if case in ("clip", "openclip"):
        weights["head.bias"] *= 0  # it is a projection
    rows, columns = (side // PATCH for side in images.shape[1:3])
    if case == "torchvision" and rows != GRID:
        vision = import_torchvision().models.vision_transformer
        weights = vision.interpolate_embeddings(images.shape[1], PATCH, weights)
        network = vision.VisionTransformer(images.shape[1], PATCH, BLOCKS, HEADS, WIDTH, 4 * WIDTH, num_classes=CLASSES)
    if case == "dinov2" and (rows, columns) != (GRID, GRID):
        weights["pos_embed"] = meta_positions(weights["pos_embed"], rows, columns)
        network.patch_embed.grid_size, network.dynamic_img_size = (rows, columns), False
        network.patch_embed.flatten, network.pos_embed = True, torch.nn.Parameter(weights["pos_embed"])
    network.load_state_dict(weights)
    network = network.double().eval()
    found: dict[str, np.ndarray] = {}
    modules, prefix = (
        dict(network.named_modules()),
        next((p for p in ("vision_model.",) if hasattr(network, p[:-1])), ""),
    )
    before = 0 if "siglip" in case else 1 + REGISTERS * (case == "dinov2_reg4")

    def note(name: str, value) -> None:
        value = (value[0] if isinstance(value, tuple) else value).numpy()
        if value.ndim == 2:
            found[name] = value
            return
        if before:
            found[f"{name}.class"] = value[:, 0]
        found[f"{name}.patches"] = value[:, before:].reshape(len(value), rows, columns, -1)

    def watch(name: str, path: str) -> None:
        modules[path].register_forward_hook(lambda module, inputs, output: note(name, output))

    torchvision, transformers = case == "torchvision", case.startswith("transformers")
    for i in range(BLOCKS):
        layer = f"encoder.layers.encoder_layer_{i}" if torchvision else f"blocks.{i}"
        watch(layer, f"{prefix}encoder.layers.{i}" if transformers else layer)
    if not transformers:
        watch("encoder.ln" if torchvision else "norm", "encoder.ln" if torchvision else "norm")
    for name, path in (("heads.head",) * 2, ("attn_pool",) * 2, ("head", "visual_projection"), ("head", "head")):
        if path in modules and type(modules[path]).__name__ != "Identity" and not (transformers and path == "head"):
            watch(name, path)
    pictures = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).double()
    with torch.no_grad():
        if transformers:
            given = network(pictures, interpolate_pos_encoding=True)
            body = getattr(network, "vision_model", network)
            note("norm", body.post_layernorm(last(body, pictures)))
            if not before:
                found["attn_pool"] = given.pooler_output.numpy()
        else:
            network(pictures)
    return dict(sorted(found.items()))


def last(body, pictures):
    """What enters the last norm; hooks may fire once more, with the same values."""
    kept = []
    norm = body.post_layernorm.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    layer = body.encoder.layers[-1].register_forward_hook(
        lambda module, inputs, output: kept.append(output[0] if isinstance(output, tuple) else output)
    )
    body(pictures, interpolate_pos_encoding=True)
    norm.remove()
    layer.remove()
    return kept[0]


def meta_positions(positions, rows: int, columns: int):
    """As DINOv2's own code brings them to another grid: scaled by a tenth of a patch more, without antialiasing."""
    import torch

    grid = positions[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
    scale = (rows + 0.1) / GRID, (columns + 0.1) / GRID
    found = torch.nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=False)
    assert found.shape[2:] == (rows, columns)
    return torch.cat([positions[:, :1], found.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


@cache
def frozen(case: str) -> tuple[dict[str, list[int]], dict[tuple[int, int], dict]]:
    """Shapes of the state dict; and by image size, layer -> (shape, largest magnitude, values at sampled positions)."""
    with np.load(FILE) as stored:
        layers = {}
        for size in SIZES[case]:
            key = f"{case}/{size[0]}x{size[1]}"
            shapes = json.loads(str(stored[f"{key}/layers"]))
            rows = zip(shapes.items(), stored[f"{key}/largest"], stored[f"{key}/values"], strict=True)
            layers[size] = {layer: (tuple(shape), largest, values) for (layer, shape), largest, values in rows}
        return json.loads(str(stored[f"{case}/shapes"])), layers


def freeze() -> None:
    arrays = {}
    for case, sizes in SIZES.items():
        arrays[f"{case}/shapes"] = np.array(json.dumps(shapes_of(model(case))))
        for size in sizes:
            found = outputs(case, seeded_images(2, size))
            key = f"{case}/{size[0]}x{size[1]}"
            arrays[f"{key}/layers"] = np.array(json.dumps({layer: value.shape for layer, value in found.items()}))
            arrays[f"{key}/largest"] = np.array([np.abs(value).max() for value in found.values()])
            sampled = [value.reshape(-1)[sample_positions(layer, value.size)] for layer, value in found.items()]
            arrays[f"{key}/values"] = np.array(sampled, np.float32)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    freeze()
