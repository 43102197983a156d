"""Necks of detectors on one map of stride 4: how the deepest maps become fine. Read first: deconvolution.py."""
