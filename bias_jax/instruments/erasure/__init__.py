"""Erasure: what is left of an attribute when it is erased from a layer, and what that costs."""

from bias_jax.instruments.erasure.instrument import Erasure as Erasure
