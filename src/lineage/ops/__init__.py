"""Functions on padded tensors: boxes, matching, NMS, RoIAlign, sampling, counter-based random numbers.

Read first: boxes.py, matching.py.
"""
