"""Published findings, tested: each sentence of a paper, what an audit gives for it, and whether the two agree."""

from bias_jax.published.finding import Finding as Finding
from bias_jax.published.finding import Verdict as Verdict
