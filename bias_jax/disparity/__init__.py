"""Multi-label heads on frozen features, and who they recognise."""
