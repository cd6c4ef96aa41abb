"""What a run was made with: package versions and device."""

from importlib.metadata import version

import jax

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Versions of this package and of those that decide its numbers."""
    from bias_jax import __version__

    return {"bias_jax": __version__, **{name: version(name) for name in PACKAGES}}


def device() -> str:
    """Kind of the device that computes."""
    first = jax.devices()[0]
    return f"{first.platform}: {first.device_kind}"
