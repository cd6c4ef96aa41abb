"""Similarity: how alike layers are, and whether training made them so."""

from bias_jax.instruments.similarity.instrument import Similarity as Similarity
