"""Labelled face images: attributes and groups, readers, sampling, decoding."""

from bias_jax.data.attributes import Attribute as Attribute
from bias_jax.data.attributes import Target as Target
from bias_jax.data.attributes import all_targets as all_targets
from bias_jax.data.calibration import CalibrationConfig as CalibrationConfig
from bias_jax.data.calibration import bayes_accuracy as bayes_accuracy
from bias_jax.data.calibration import calibration_faces as calibration_faces
from bias_jax.data.dataset import FaceDataset as FaceDataset
from bias_jax.data.decoding import Inspection as Inspection
from bias_jax.data.decoding import image_batches as image_batches
from bias_jax.data.decoding import inspect_images as inspect_images
from bias_jax.data.fairface import read_fairface as read_fairface
from bias_jax.data.published_tests import PUBLISHED_TESTS as PUBLISHED_TESTS
from bias_jax.data.sampling import balanced_subset as balanced_subset
from bias_jax.data.sampling import stratified_folds as stratified_folds
from bias_jax.data.stimuli import AssociationStimuli as AssociationStimuli
from bias_jax.data.stimuli import Stimuli as Stimuli
from bias_jax.data.stimuli import collect as collect
from bias_jax.data.stimulus_sources import StimulusRequest as StimulusRequest
from bias_jax.data.stimulus_sources import folder_images as folder_images
from bias_jax.data.stimulus_sources import folder_tests as folder_tests
from bias_jax.data.stimulus_sources import group_images as group_images
from bias_jax.data.stores import FolderImages as FolderImages
from bias_jax.data.table import Table as Table
from bias_jax.data.table import infer_categories as infer_categories
from bias_jax.data.table import read_table as read_table
from bias_jax.data.utkface import read_utkface as read_utkface
