"""Random keys by name, never by order: adding a stage does not change the numbers of the others."""

import hashlib

import jax


def key_for(seed: int, *names: str) -> jax.Array:
    """JAX key that depends on the seed and the names only.

    >>> bool(key_for(0, "folds") == key_for(0, "folds")), bool(key_for(0, "folds") == key_for(0, "bootstrap"))
    (True, False)
    """
    with jax.transfer_guard("allow"):  # one deliberate integer to the device
        return jax.random.key(stable_hash(seed, *names) & 0x7FFFFFFF)


def stable_hash(seed: int, *names: str) -> int:
    """256-bit integer from a seed and names; the same on every platform and Python version.

    >>> stable_hash(0, "subset", "a.jpg") % 1000, stable_hash(0, "subset", "b.jpg") % 1000
    (917, 477)
    """
    return int.from_bytes(hashlib.sha256("\x1f".join((str(seed), *names)).encode()).digest(), "big")
