"""Evaluators, one file per dataset's rules: COCO, LVIS, VOC, Cityscapes, panoptic, proposals.

Read first: coco.py.
"""
