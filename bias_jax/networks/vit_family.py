"""The vision transformers of the registry, one row each, and how their images are prepared."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from bias_jax.networks.definition import IMAGENET_CLASSES, Network
from bias_jax.networks.transformer import Blocks
from bias_jax.networks.transforms import ONE_HALF, Transform, bicubic
from bias_jax.networks.vit import TORCHVISION, Architecture, ViT, layer_names, variant_of
from bias_jax.networks.vit_random import Style, draw

S, B, L = Blocks(12, 384, 6), Blocks(12, 768, 12), Blocks(24, 1024, 16)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_images(side: int = 224) -> Transform:
    """As OpenAI and OpenCLIP prepare them."""
    return bicubic(side, side, CLIP_MEAN, CLIP_STD)


def siglip_images(side: int = 224) -> Transform:
    """As SigLIP was trained: the whole picture, whatever its shape."""
    return Transform(side, side, ONE_HALF, ONE_HALF, "bicubic", squeeze=True)


def timm_images(side: int = 224) -> Transform:
    """timm's usual evaluation, which cuts off a tenth."""
    return bicubic(int(side / 0.9), side)


class Row(NamedTuple):
    """One network of the registry."""

    architecture: Architecture
    style: Style  # of random weights
    preparations: Mapping[str, Transform]  # the first is the usual one
    classes: int = 0  # of random weights
    projection: int = 0  # width of the space shared with texts


def _torchvision(blocks: Blocks, patch: int, resize: int = 256) -> Row:
    architecture = Architecture(blocks, patch, 224 // patch, resampling="corners", names=TORCHVISION)
    images = {"torchvision": Transform(resize, 224), "swag": bicubic(224, 224)}
    return Row(architecture, "torchvision", images, IMAGENET_CLASSES)


def _deit(blocks: Blocks) -> Row:
    return Row(Architecture(blocks, 16), "timm", {"timm": timm_images()}, IMAGENET_CLASSES)


def _deit3(blocks: Blocks) -> Row:
    architecture = Architecture(replace(blocks, layer_scale=True), 16, class_position=False)
    return Row(architecture, "timm", {"timm": timm_images(), "timm_whole": bicubic(224, 224)}, IMAGENET_CLASSES)


def _mae(blocks: Blocks) -> Row:
    return Row(Architecture(blocks, 16), "timm", {"mae": bicubic(256, 224), "timm": timm_images()})


def _dinov2(blocks: Blocks, registers: int) -> Row:
    """Positions were learnt at 518 pixels; Meta evaluates at 224."""
    blocks = replace(blocks, layer_scale=True)
    architecture = Architecture(blocks, 14, 37, registers=registers, class_position=not registers,
                                resampling="antialiased" if registers else "offset")  # fmt: skip
    return Row(architecture, "timm", {"dinov2": bicubic(256, 224), "timm": bicubic(518, 518)})


def _clip(blocks: Blocks, patch: int, projection: int, *, quick: bool) -> Row:
    """Quick GELU in OpenAI's weights, the exact one in nearly all of OpenCLIP's: the files do not say it."""
    blocks = replace(blocks, epsilon=1e-5, activation="quick_gelu" if quick else "gelu")
    architecture = Architecture(blocks, patch, 224 // patch, pre_norm=True)
    return Row(architecture, "clip", {"clip": clip_images()}, projection=projection)


def _siglip(blocks: Blocks, side: int) -> Row:
    """GELU by tanh, as in the published code and in transformers; timm computes the exact one with these weights."""
    blocks = replace(blocks, activation="gelu_tanh")
    architecture = Architecture(blocks, 16, side // 16, class_token=False, attention_pool=True)
    timm = bicubic(int(side / 0.9), side, ONE_HALF, ONE_HALF)
    return Row(architecture, "siglip", {"siglip": siglip_images(side), "timm": timm})


ROWS: dict[str, Row] = {
    "vit_b_16": _torchvision(B, 16),
    "vit_b_32": _torchvision(B, 32),
    "vit_l_16": _torchvision(L, 16, resize=242),
    "deit_s_16": _deit(S),
    "deit_b_16": _deit(B),
    "deit3_s_16": _deit3(S),
    "deit3_b_16": _deit3(B),
    "deit3_l_16": _deit3(L),
    "mae_b_16": _mae(B),
    "mae_l_16": _mae(L),
    **{f"dinov2_{size}_14{'_reg4' * bool(registers)}": _dinov2(blocks, registers)
       for registers in (0, 4) for size, blocks in {"s": S, "b": B, "l": L}.items()},
    "clip_b_32": _clip(B, 32, 512, quick=True),
    "clip_b_16": _clip(B, 16, 512, quick=True),
    "clip_l_14": _clip(L, 14, 768, quick=True),
    "openclip_b_32": _clip(B, 32, 512, quick=False),
    "openclip_b_16": _clip(B, 16, 512, quick=False),
    "openclip_l_14": _clip(L, 14, 768, quick=False),
    "siglip_b_16": _siglip(B, 224),
    "siglip_l_16": _siglip(L, 256),
}  # fmt: skip


def definition(row: Row) -> Network:
    """One row for the registry."""
    architecture = row.architecture
    return Network(
        build=lambda variant, rngs: ViT(architecture, variant),
        variant=lambda params: variant_of(params, architecture),
        usual={"classes": row.classes, "projection": row.projection, "grid": architecture.grid},
        preparations=row.preparations,
        layers=layer_names(architecture, projection=bool(row.projection)),
        smallest=architecture.patch,
        draw=partial(draw, row.style, architecture.patch),
    )


NETWORKS = {name: definition(row) for name, row in ROWS.items()}
