"""What a generative network draws where a part of a picture is given: tokens in, tokens out."""

from bias_jax.completions.batches import Span as Span
from bias_jax.completions.batches import batch_bytes as batch_bytes
from bias_jax.completions.batches import check as check
from bias_jax.completions.batches import complete as complete
from bias_jax.completions.batches import sample_keys as sample_keys
from bias_jax.completions.batches import span_of as span_of
from bias_jax.completions.masks import given_pixels as given_pixels
from bias_jax.completions.sampling import Drawing as Drawing
