"""Functions on padded tensors: boxes, matching, NMS, RoIAlign, sampling, counter-based random numbers.

May import structures alone. Read first: boxes.py, matching.py.
"""
