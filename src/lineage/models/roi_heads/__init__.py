"""Heads on regions: boxes, masks, keypoints, cascades, SVMs; pooling and postprocessing.

Read first: box_head.py, then mask_head.py.
"""
