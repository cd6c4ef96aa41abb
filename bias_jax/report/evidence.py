"""Where heads looked: single images with their maps, and the average attention of groups."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bias_jax.report.disparity_figures import WORDS
from bias_jax.report.elements import fitted, plain_text


@plain_text
def contact_sheet(
    pictures: np.ndarray, cams: np.ndarray, occlusions: np.ndarray, captions: Sequence[str],
    losses: Sequence[str], title: str,
) -> Figure:  # fmt: skip
    """One line per image: the image, then Grad-CAM and occlusion map of every loss.

    Args:
        pictures: uint8 [n, side, side, 3].
        cams: [n, J, h, w], each drawn from 0 to its maximum.
        occlusions: [n, J, cells, cells], drawn symmetric around 0.
        captions: what to look for.
        losses: names of the J losses.
        title: figure title.
    """
    columns = 1 + 2 * len(losses)
    width = 1.9 * columns + 1.2
    figure = Figure(figsize=(width, 2.05 * len(pictures) + 0.8), dpi=130, layout="constrained")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    panels = figure.subplots(len(pictures), columns, squeeze=False)
    side = pictures.shape[1]
    extent = (-0.5, side - 0.5, side - 0.5, -0.5)
    for i, line in enumerate(panels):
        for axes in line:
            axes.imshow(pictures[i], extent=extent)
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(textwrap.fill(captions[i].replace("\n", "; "), 24), fontsize=7)
        for j, loss in enumerate(losses):
            top = max(float(cams[i, j].max()), 1e-12)
            line[1 + j].imshow(cams[i, j], cmap="jet", vmin=0, vmax=top, alpha=0.5, extent=extent,
                               interpolation="bilinear")  # fmt: skip
            limit = max(float(np.abs(occlusions[i, j]).max()), 1e-12)
            line[1 + len(losses) + j].imshow(occlusions[i, j], cmap="bwr", vmin=-limit, vmax=limit, alpha=0.55,
                                             extent=extent, interpolation="nearest")  # fmt: skip
            if i == 0:
                line[1 + j].set_title(f"Grad-CAM\n{WORDS.get(loss, loss)}", fontsize=7)
                line[1 + len(losses) + j].set_title(f"occlusion (red: speaks for)\n{WORDS.get(loss, loss)}", fontsize=7)
    return figure


@plain_text
def group_attention(
    pictures: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], counts: Mapping[str, int],
    losses: Sequence[str], title: str,
) -> Figure:  # fmt: skip
    """Average attention of every group: mean image and mean Grad-CAM of each loss, on one colour scale.

    Args:
        pictures: group -> mean image [side, side, 3], 0 to 255.
        maps: group -> [J, h, w], shares of the attention.
        counts: group -> images.
        losses: names of the J losses.
        title: figure title.
    """
    width = 1.35 * max(len(maps), 3) + 1.2
    figure = Figure(figsize=(width, 1.45 * (1 + len(losses)) + 0.9), dpi=140, layout="compressed")
    figure.suptitle(fitted(title, width, 9), fontsize=9)
    panels = figure.subplots(1 + len(losses), len(maps), squeeze=False)
    # A few cells of small groups may hold a lot; they must not make everything else dark.
    top = float(np.percentile(np.concatenate([m.ravel() for m in maps.values()]), 99)) or 1.0
    for g, (group, attention) in enumerate(maps.items()):
        panels[0, g].imshow(pictures[group].astype(np.uint8))
        panels[0, g].set_title(f"{textwrap.fill(group, 17)}\nn={counts[group]}", fontsize=7)
        for j in range(len(losses)):
            drawn = panels[1 + j, g].imshow(attention[j], cmap="magma", vmin=0.0, vmax=top)
        for axes in panels[:, g]:
            axes.set_xticks([])
            axes.set_yticks([])
    for j, loss in enumerate(losses):
        panels[1 + j, 0].set_ylabel(textwrap.fill(WORDS.get(loss, loss), 16), fontsize=7)
    figure.colorbar(drawn, ax=panels, shrink=0.6, extend="max").set_label("share of the attention", fontsize=7)
    return figure
