"""How alike two layers represent the same images (CKA), and the same groups of people (RSA)."""

from bias_jax.similarity.cka import Estimate as Estimate
from bias_jax.similarity.cka import cka as cka
from bias_jax.similarity.gram import image_products as image_products
from bias_jax.similarity.rsa import group_distances as group_distances
from bias_jax.similarity.rsa import rsa as rsa
