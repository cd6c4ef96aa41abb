"""From published weights files to checkpoints of this project."""

from converters.torchvision import convert as convert
