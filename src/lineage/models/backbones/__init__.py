"""Bodies: Images -> maps, fine to coarse, with their widths in `channels`; and the feature pyramid.

Read first: resnet.py, fpn.py.
"""
