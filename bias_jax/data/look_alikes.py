"""Pictures that look alike although their pixels differ: resized, recompressed, or nearly the same.

Each gets 64 bits, the DCT hash of Zauner 2010 as ImageHash computes it. Of the 7.6 million pairs of 3,901 FairFace
photographs, without one that is there twice, 1 is within `NEAR` bits, 2 are within 6, 35 within 8 and 260 within 10. Of
copies that were recompressed (JPEG quality 75, 50, 30) or resized to 64, 96, 100, 112, 160, 300 or 448 pixels, at least
99.3 % are within `NEAR` bits of the original. Mirrored, cropped or retouched pictures are not found.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR = 4  # of 64 bits
SIDE, KEPT = 32, 8  # pixels of the miniature; its lowest frequencies in both directions
FINEST = 2 * SIDE  # every k-th pixel is enough for a miniature, if at least so many are left
TOGETHER = 4096  # miniatures that are transformed at once


def miniature(pixels: np.ndarray) -> bytes:
    """Grey levels [32 x 32] of a picture uint8 [H, W, 3]: of its green channel, which is most of its brightness."""
    step = max(min(pixels.shape[:2]) // FINEST, 1)
    green = Image.fromarray(pixels[step // 2 :: step, step // 2 :: step, 1])
    return green.resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes()


def perceptual_hashes(miniatures: Sequence[bytes]) -> np.ndarray:
    """uint64 [N]: which of the lowest frequencies are above their median."""
    found = [np.empty(0, np.uint64)]
    for start in range(0, len(miniatures), TOGETHER):
        small = np.frombuffer(b"".join(miniatures[start : start + TOGETHER]), np.uint8).reshape(-1, SIDE, SIDE)
        lowest = dctn(small.astype(np.float64), axes=(1, 2))[:, :KEPT, :KEPT].reshape(len(small), -1)
        above = lowest > np.median(lowest, axis=1, keepdims=True)
        found.append(np.packbits(above, axis=1).view(">u8")[:, 0].astype(np.uint64))
    return np.concatenate(found)


def look_alikes(hashes: np.ndarray) -> np.ndarray:
    """Numbers from 0 of pictures that look alike, int [N]: the same number where near pairs lead from one to the other.

    Hashes within `NEAR` bits agree in one of NEAR + 1 parts at least, so only pairs that do are compared.

    Args:
        hashes: of `perceptual_hashes`, uint64 [N].
    """
    distinct, which = np.unique(hashes, return_inverse=True)
    pairs = [np.empty((0, 2), int)]
    edges = np.linspace(0, 64, NEAR + 2).astype(int)
    for start, stop in pairwise(edges):
        part = (distinct >> np.uint64(start)) & np.uint64(2 ** int(stop - start) - 1)
        order = np.argsort(part, kind="stable")
        for apart in range(1, len(order)):
            a, b = order[:-apart], order[apart:]
            same = part[a] == part[b]
            if not same.any():
                break
            a, b = a[same], b[same]
            near = np.bitwise_count(distinct[a] ^ distinct[b]) <= NEAR
            pairs.append(np.stack([a[near], b[near]], axis=1))
    return joined(np.arange(len(distinct)), np.concatenate(pairs))[which]


def joined(numbers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Numbers int [N], made equal where a chain of pairs [Q, 2] of them leads from one to the other.

    >>> joined(np.array([0, 1, 2, 3, 1]), np.array([[0, 2], [2, 3]])).tolist()
    [0, 1, 0, 0, 1]
    """
    size = int(numbers.max()) + 1
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][numbers])
