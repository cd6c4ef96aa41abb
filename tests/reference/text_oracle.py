"""transformers' CLIP and SigLIP as oracles of the text towers, at a tiny size with seeded weights.

`python -m tests.reference.text_oracle` writes the frozen values beside this file; it needs torch and transformers, the
tests that use the values need neither.
"""

import json
from pathlib import Path

import numpy as np

from converters.original import import_transformers
from tests.reference.torch_oracle import rng_for

FILE = Path(__file__).parent / "text.npz"
BLOCKS, WIDTH, HEADS, PROJECTION = 3, 48, 4, 20
VOCABULARY, CONTEXT, TEXTS = 60, 12, 6
FIRST, END = VOCABULARY - 2, VOCABULARY - 1  # tokens that begin and end a text
# Case -> network of whose text tower it is a tiny copy.
NETWORK = {"clip": "clip_b_32", "openclip": "openclip_b_32", "siglip": "siglip_b_16"}
SMALL = 0.02  # scale of what enters the first block, so that the epsilon of its norm shows


def seeded_state_dict(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Of a whole model, from names and shapes alone."""
    result = {}
    for key, shape in shapes.items():
        rng = rng_for("text", key)
        if len(shape) == 1 and key.endswith("weight"):
            result[key] = rng.uniform(0.5, 1.5, shape)
        elif "embedding" in key:
            result[key] = rng.standard_normal(shape) * SMALL
        elif len(shape) < 2:
            result[key] = rng.standard_normal(shape) * 0.3
        else:
            result[key] = rng.standard_normal(shape) * np.sqrt(2 / shape[-1])
    return {key: np.asarray(value, np.float32) for key, value in result.items()}


def tokens(case: str) -> np.ndarray:
    """Texts of several lengths, int32 [TEXTS, CONTEXT]; the end stands behind them, and after it what pads."""
    rng = rng_for("tokens", case)
    found = np.full((TEXTS, CONTEXT), 1 if case == "siglip" else END, np.int32)
    for text, length in enumerate((0, 1, 3, 5, 9, 10)):
        words = rng.integers(2, FIRST, length)
        found[text, : length + 2] = [FIRST, *words, END]
        if case == "openclip":
            found[text, length + 2 :] = 0  # as OpenAI's and OpenCLIP's own tokenizers pad
    return found


def model(case: str):
    """The original, in eval mode."""
    transformers = import_transformers()
    siglip = case == "siglip"
    kind = transformers.SiglipModel if siglip else transformers.CLIPModel
    config = transformers.SiglipConfig if siglip else transformers.CLIPConfig
    text = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": BLOCKS, "vocab_size": VOCABULARY,
            "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT, "bos_token_id": FIRST,
            "eos_token_id": END, "pad_token_id": 1}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 8, "patch_size": 4}  # fmt: skip
    if siglip:
        return kind(config(text_config={**text, "projection_size": PROJECTION}, vision_config=vision)).eval()
    act = {"hidden_act": "quick_gelu" if case == "clip" else "gelu"}
    return kind(
        config(text_config={**text, **act}, vision_config={**vision, **act}, projection_dim=PROJECTION)
    ).eval()  # fmt: skip


def shapes_of(network) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items() if "position_ids" not in key}


def embeddings(case: str) -> np.ndarray:
    """What the original gives for `tokens`, computed in float64 [TEXTS, PROJECTION]."""
    import torch

    network = model(case)
    weights = {key: torch.tensor(value) for key, value in seeded_state_dict(shapes_of(network)).items()}
    network.load_state_dict(weights)
    with torch.no_grad():
        given = torch.from_numpy(tokens(case)).long()
        found = network.double().eval().get_text_features(input_ids=given)
    found = getattr(found, "pooler_output", found)
    return found.numpy()


def frozen(case: str) -> tuple[dict[str, list[int]], np.ndarray]:
    """Shapes of the state dict, and the embeddings."""
    with np.load(FILE) as stored:
        return json.loads(str(stored[f"{case}/shapes"])), stored[f"{case}/embeddings"]


def freeze() -> None:
    arrays = {}
    for case in NETWORK:
        arrays[f"{case}/shapes"] = np.array(json.dumps(shapes_of(model(case))))
        arrays[f"{case}/embeddings"] = embeddings(case)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    freeze()
