"""The published weights of vision transformers."""

from bias_jax.networks.transforms import ONE_HALF, Transform, bicubic
from bias_jax.networks.vit_family import clip_images, siglip_images, timm_images
from converters.entries import PublishedWeights

_DEIT = "https://dl.fbaipublicfiles.com/deit/"
_MAE = "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vit"
_SWAG = "IMAGENET1K_SWAG_"

# torchvision's enums: network, member, file, MiB, ImageNet top-1 and top-5, images.
_TORCHVISION = (
    ("vit_b_16", "IMAGENET1K_V1", "vit_b_16-c867db91", 330.285, (81.072, 95.318), Transform(256, 224)),
    ("vit_b_16", f"{_SWAG}E2E_V1", "vit_b_16_swag-9ac1b537", 331.398, (85.304, 97.650), bicubic(384, 384)),
    ("vit_b_16", f"{_SWAG}LINEAR_V1", "vit_b_16_lc_swag-4e70ced5", 330.285, (81.886, 96.180), bicubic(224, 224)),
    ("vit_b_32", "IMAGENET1K_V1", "vit_b_32-d86f8d99", 336.604, (75.912, 92.466), Transform(256, 224)),
    ("vit_l_16", "IMAGENET1K_V1", "vit_l_16-852ce7e3", 1161.023, (79.662, 94.638), Transform(242, 224)),
    ("vit_l_16", f"{_SWAG}E2E_V1", "vit_l_16_swag-4f3808c9", 1164.258, (88.064, 98.512), bicubic(512, 512)),
    ("vit_l_16", f"{_SWAG}LINEAR_V1", "vit_l_16_lc_swag-4d563306", 1161.023, (85.146, 97.422), bicubic(224, 224)),
)
_IN1K, _IN22K = "fb_in1k", "fb_in22k_ft_in1k"
# timm's copies on the Hugging Face hub: network, timm's name and tag, accuracy, images.
_TIMM = (
    ("deit_s_16", f"deit_small_patch16_224.{_IN1K}", (79.844, 95.044), timm_images()),
    ("deit_b_16", f"deit_base_patch16_224.{_IN1K}", (81.992, 95.736), timm_images()),
    ("deit3_s_16", f"deit3_small_patch16_224.{_IN1K}", (81.370, 95.456), timm_images()),
    ("deit3_s_16", f"deit3_small_patch16_224.{_IN22K}", (83.074, 96.776), bicubic(224, 224)),
    ("deit3_b_16", f"deit3_base_patch16_224.{_IN1K}", (83.786, 96.588), timm_images()),
    ("deit3_b_16", f"deit3_base_patch16_224.{_IN22K}", (85.700, 97.746), bicubic(224, 224)),
    ("deit3_l_16", f"deit3_large_patch16_224.{_IN1K}", (84.776, 97.038), timm_images()),
    ("deit3_l_16", f"deit3_large_patch16_224.{_IN22K}", (86.982, 98.236), bicubic(224, 224)),
    ("mae_b_16", "vit_base_patch16_224.mae", None, bicubic(256, 224)),
    ("mae_l_16", "vit_large_patch16_224.mae", None, bicubic(256, 224)),
    *((f"dinov2_{size[0]}_14{'_reg4' if registers else ''}",
       f"vit_{size}_patch14{registers}_dinov2.lvd142m", None, bicubic(256, 224))
      for registers in ("", "_reg4") for size in ("small", "base", "large")),
    ("clip_b_32", "vit_base_patch32_clip_224.openai", None, clip_images()),
    ("clip_b_16", "vit_base_patch16_clip_224.openai", None, clip_images()),
    ("clip_l_14", "vit_large_patch14_clip_224.openai", None, clip_images()),
    ("clip_l_14", "vit_large_patch14_clip_336.openai", None, clip_images(336)),
    ("openclip_b_32", "vit_base_patch32_clip_224.laion2b", None, clip_images()),
    ("openclip_b_16", "vit_base_patch16_clip_224.laion2b", None, clip_images()),
    ("openclip_l_14", "vit_large_patch14_clip_224.laion2b", None, bicubic(224, 224, ONE_HALF, ONE_HALF)),
    ("siglip_b_16", "vit_base_patch16_siglip_224.webli", None, siglip_images()),
    ("siglip_l_16", "vit_large_patch16_siglip_256.webli", None, siglip_images(256)),
)  # fmt: skip
# Meta's own files, which `--source` recognises where their names hold the start of their hash.
_META = (
    ("deit_s_16", f"{_DEIT}deit_small_patch16_224-cd65a155.pth", (79.844, 95.044), timm_images()),
    ("deit_b_16", f"{_DEIT}deit_base_patch16_224-b5f2ef4d.pth", (81.992, 95.736), timm_images()),
    ("mae_b_16", f"{_MAE}base.pth", None, bicubic(256, 224)),
    ("mae_l_16", f"{_MAE}large.pth", None, bicubic(256, 224)),
    *((f"dinov2_{size}_14{registers}", f"{_DINOV2}{size}14/dinov2_vit{size}14{registers}_pretrain.pth", None,
       bicubic(256, 224)) for registers in ("", "_reg4") for size in "sbl"),
)  # fmt: skip

PUBLISHED = (
    *(PublishedWeights(network, name, f"{file}.pth", mebibytes, accuracy, transform)
      for network, name, file, mebibytes, accuracy, transform in _TORCHVISION),
    *(PublishedWeights(network, name.partition(".")[2] + ("_336" if "_336" in name else ""), f"timm/{name}", None,
                       accuracy, transform) for network, name, accuracy, transform in _TIMM),
    *(PublishedWeights(network, "meta", address, None, accuracy, transform)
      for network, address, accuracy, transform in _META),
)  # fmt: skip
