"""The Image Embedding Association Test: effect sizes and permutation p-values, exact where others sample."""

from bias_jax.association.intervals import EffectInterval as EffectInterval
from bias_jax.association.intervals import effect_size_interval as effect_size_interval
from bias_jax.association.intervals import interval_from_cosines as interval_from_cosines
from bias_jax.association.layers import LayerTest as LayerTest
from bias_jax.association.layers import ieat_layers as ieat_layers
from bias_jax.association.layers import profile_test as profile_test
from bias_jax.association.permutation import AssociationTest as AssociationTest
from bias_jax.association.permutation import ieat as ieat
from bias_jax.association.permutation import permutation_test as permutation_test
from bias_jax.association.statistic import check_directions as check_directions
from bias_jax.association.statistic import cosines as cosines
from bias_jax.association.statistic import image_associations as image_associations
