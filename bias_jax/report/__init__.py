"""Figures, drawn from tables and arrays only; every function gives a `matplotlib.figure.Figure`.

``figure.savefig(path)`` writes one at the resolution it was made for; a notebook shows one by ``display(figure)``.
"""

from bias_jax.report.association_figure import effect_by_layer as effect_by_layer
from bias_jax.report.confusions import attribute_confusions as attribute_confusions
from bias_jax.report.confusions import group_confusion as group_confusion
from bias_jax.report.counts import group_counts as group_counts
from bias_jax.report.curves import accuracy_by_layer as accuracy_by_layer
from bias_jax.report.curves import comparison_by_layer as comparison_by_layer
from bias_jax.report.curves import difference_by_layer as difference_by_layer
from bias_jax.report.disparity_figures import loss_differences as loss_differences
from bias_jax.report.disparity_figures import precision_by_layer as precision_by_layer
from bias_jax.report.disparity_figures import rates_by_group as rates_by_group
from bias_jax.report.disparity_figures import recall_table as recall_table
from bias_jax.report.evidence import contact_sheet as contact_sheet
from bias_jax.report.evidence import group_attention as group_attention
from bias_jax.report.layout_figure import layout_comparison as layout_comparison
from bias_jax.report.layout_figure import topomap_sequence as topomap_sequence
from bias_jax.report.topomap_figure import topomap_figure as topomap_figure
from bias_jax.report.variance import variance_by_layer as variance_by_layer
