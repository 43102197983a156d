"""Scorers, one file per protocol: COCO, LVIS, VOC, Cityscapes, panoptic, proposals.

Read first: coco.py.
"""
