"""Neighbours: whom an image is near to, without any training."""

from bias_jax.instruments.neighbours.instrument import Neighbours as Neighbours
