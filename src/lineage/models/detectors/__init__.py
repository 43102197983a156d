"""Whole models and how a body becomes one: FPN, C4, C5, one map, crops, pyramids; RetinaNet, CenterNet; views.

Read first: rcnn.py.
"""
