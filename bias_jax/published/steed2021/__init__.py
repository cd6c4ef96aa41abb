"""Steed & Caliskan 2021 (arXiv 2010.15052): fifteen association tests in two models."""

from bias_jax.published.steed2021.findings import ACCOUNT as ACCOUNT
from bias_jax.published.steed2021.findings import Recomputed as Recomputed
from bias_jax.published.steed2021.findings import row_findings as row_findings
from bias_jax.published.steed2021.numbers import PUBLISHED as PUBLISHED
from bias_jax.published.steed2021.sources import digest_of as digest_of
from bias_jax.published.steed2021.sources import from_pictures as from_pictures
from bias_jax.published.steed2021.sources import read_embeddings as read_embeddings
