"""Topographic activation maps: units with similar activation profiles lie side by side, coloured by group."""

from bias_jax.topomaps.layout import som_layout as som_layout
from bias_jax.topomaps.layout import triangulate as triangulate
from bias_jax.topomaps.profiles import group_profiles as group_profiles
from bias_jax.topomaps.profiles import unit_profiles as unit_profiles
from bias_jax.topomaps.som import FittedMap as FittedMap
from bias_jax.topomaps.som import SelfOrganizingMap as SelfOrganizingMap
