"""The published recipe: probes as Krug & Stober 2025 train them."""

from bias_jax.instruments.recipe.instrument import Recipe as Recipe
