"""Augmentation: Sample -> Sample, seeded by (seed, position, image id). Read first: resize.py, context.py."""
