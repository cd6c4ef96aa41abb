"""Image Embedding Association Tests: does a layer place X nearer to A, and Y to B?"""

from bias_jax.instruments.associations.instrument import Associations as Associations
