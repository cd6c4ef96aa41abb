"""Nearest neighbours of images in a layer, and what their labels say."""

from bias_jax.neighbours.nearest import METRICS as METRICS
from bias_jax.neighbours.nearest import Metric as Metric
from bias_jax.neighbours.nearest import nearest_images as nearest_images
from bias_jax.neighbours.votes import NeighbourValues as NeighbourValues
from bias_jax.neighbours.votes import Scores as Scores
from bias_jax.neighbours.votes import neighbour_values as neighbour_values
from bias_jax.neighbours.votes import retrieval_scores as retrieval_scores
from bias_jax.neighbours.votes import vote_scores as vote_scores
