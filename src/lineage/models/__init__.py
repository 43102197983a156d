"""Detectors: `losses` for training, `detect` for inference, on padded tensors of fixed shapes.

A model never sees a config. Read first: detectors/rcnn.py.
"""
