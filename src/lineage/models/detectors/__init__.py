"""Whole models and how a body becomes one: FPN, C4, C5, one map, crops, pyramids; RetinaNet; test-time augmentation.

Read first: rcnn.py.
"""
