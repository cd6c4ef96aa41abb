"""Concept erasure: the smallest affine change of features after which no linear function of them tells groups apart."""

from bias_jax.erasure.certificate import prior_gain as prior_gain
from bias_jax.erasure.eraser import Eraser as Eraser
from bias_jax.erasure.eraser import load_eraser as load_eraser
from bias_jax.erasure.leace import fit_eraser as fit_eraser
from bias_jax.erasure.leace import fit_erasers as fit_erasers
