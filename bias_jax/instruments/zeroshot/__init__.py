"""Zero-shot audits: what a model of pictures and texts says of people when it is asked by prompts."""

from bias_jax.instruments.zeroshot.instrument import Zeroshot as Zeroshot
