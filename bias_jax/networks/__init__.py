"""Pre-trained networks in Flax NNX: forward pass, weights, preparation of images."""

from bias_jax.networks.checkpoint import Manifest as Manifest
from bias_jax.networks.checkpoint import load_checkpoint as load_checkpoint
from bias_jax.networks.checkpoint import params_digest as params_digest
from bias_jax.networks.checkpoint import save_checkpoint as save_checkpoint
from bias_jax.networks.definition import Network as Network
from bias_jax.networks.definition import Params as Params
from bias_jax.networks.definition import Variant as Variant
from bias_jax.networks.definition import image_classifier as image_classifier
from bias_jax.networks.preparation import Preparation as Preparation
from bias_jax.networks.preparation import preparation_digest as preparation_digest
from bias_jax.networks.preparation import split as split
from bias_jax.networks.random_weights import random_params as random_params
from bias_jax.networks.registry import NETWORKS as NETWORKS
from bias_jax.networks.registry import PRECISIONS as PRECISIONS
from bias_jax.networks.registry import abstract_params as abstract_params
from bias_jax.networks.registry import class_count as class_count
from bias_jax.networks.registry import forward as forward
from bias_jax.networks.registry import jit_network as jit_network
from bias_jax.networks.registry import layer_shapes as layer_shapes
from bias_jax.networks.registry import network as network
from bias_jax.networks.registry import operations as operations
from bias_jax.networks.transforms import Transform as Transform
