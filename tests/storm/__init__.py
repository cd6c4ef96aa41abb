"""Runs that are killed, interrupted, out of disk or damaged, compared byte for byte with one that nothing disturbed."""
