"""Pictures as colours out of a fixed few: the nearest one for each pixel, and back.

The nearest is found as float64 arithmetic finds it, on any device: distances are whole numbers of 2 ** -40, in two
parts of 20 bits, since float32 takes one of two nearly equal ones for another.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.errors import InputError

BITS = 20  # of each part


def colour_grid(levels: int = 8) -> np.ndarray:
    """Evenly spaced colours, float32 [levels ** 3, 3] from -1 to 1: those of networks without published ones."""
    steps = np.linspace(-1.0, 1.0, levels)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


def checked_centres(centres: np.ndarray, colours: int) -> np.ndarray:
    """Centres of colours as float32 [colours, 3].

    Raises:
        InputError: they are no numbers from -1 to 1 of that shape.
    """
    remedy = "use the clusters that were published with the network"
    found = np.asarray(centres)
    if found.shape != (colours, 3) or not np.issubdtype(found.dtype, np.floating):
        raise InputError(f"colours are {found.dtype} of shape {found.shape}, not floats [{colours}, 3]", remedy=remedy)
    if not (np.abs(found) <= 1.0).all():
        raise InputError("colours are not between -1 and 1", remedy=remedy)
    return found.astype(np.float32)


def nearest_colours(pixels: jax.Array, centres: np.ndarray) -> jax.Array:
    """Number of the centre that is nearest to each pixel; of equally near ones the first.

    For a pixel u the squared distance of u / 127.5 - 1 to a centre c is, but for what is the same for all centres and
    the factor 2 / 255, 127.5 |c|^2 - (2 u - 255) c.

    Args:
        pixels: uint8 [..., 3].
        centres: float32 [K, 3], from -1 to 1.

    Returns:
        int32 [...].
    """
    exact = centres.astype(np.float64)
    offset, slope = 127.5 * np.square(exact).sum(axis=1), exact
    (offset_high, offset_low), (slope_high, slope_low) = _parts(offset), _parts(slope)
    levels = 2 * pixels.astype(jnp.int32) - 255

    def distance(offset: np.ndarray, slope: np.ndarray) -> jax.Array:
        lead = (1,) * (levels.ndim - 1)
        red, green, blue = (levels[..., i, None] * jnp.asarray(slope[:, i]).reshape(*lead, -1) for i in range(3))
        return jnp.asarray(offset).reshape(*lead, -1) - (red + green + blue)

    high, low = distance(offset_high, slope_high), distance(offset_low, slope_low)
    high, low = high + (low >> BITS), low & (2**BITS - 1)
    first = high.min(axis=-1, keepdims=True)
    return jnp.argmin(jnp.where(high == first, low, 2**BITS), axis=-1).astype(jnp.int32)


def _parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of 2 ** -20 and of 2 ** -40, int32: values = high * 2 ** -20 + low * 2 ** -40."""
    whole = np.rint(values * 2.0 ** (2 * BITS)).astype(np.int64)
    return (whole >> BITS).astype(np.int32), (whole & (2**BITS - 1)).astype(np.int32)


def to_levels(centres: np.ndarray) -> np.ndarray:
    """The grey levels of centres, uint8 [K, 3] (of OpenAI's code: round 127.5 (c + 1), half to even)."""
    return np.clip(np.rint(127.5 * (centres.astype(np.float64) + 1.0)), 0, 255).astype(np.uint8)
