"""Everything that can be measured on activations. An instrument is one folder, and one line here."""

from bias_jax.instruments.associations import Associations as Associations
from bias_jax.instruments.erasure import Erasure as Erasure
from bias_jax.instruments.heads import Heads as Heads
from bias_jax.instruments.maps import Maps as Maps
from bias_jax.instruments.neighbours import Neighbours as Neighbours
from bias_jax.instruments.predictions import Predictions as Predictions
from bias_jax.instruments.probes import Probes as Probes
from bias_jax.instruments.recipe import Recipe as Recipe
from bias_jax.instruments.sensitivity import Sensitivity as Sensitivity
from bias_jax.instruments.similarity import Similarity as Similarity
from bias_jax.instruments.variance import Variance as Variance
from bias_jax.instruments.zeroshot import Zeroshot as Zeroshot

INSTRUMENTS = {
    instrument.name: instrument
    for instrument in (
        Probes,
        Maps,
        Variance,
        Associations,
        Recipe,
        Predictions,
        Heads,
        Erasure,
        Neighbours,
        Similarity,
        Sensitivity,
        Zeroshot,
    )
}
