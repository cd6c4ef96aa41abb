"""Multi-label heads: does the training loss change who is recognised?"""

from bias_jax.instruments.heads.instrument import Heads as Heads
