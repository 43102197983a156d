"""One image with its objects: the type, the protocol of a dataset, pixels and masks.

Read first: sample.py, dataset.py.
"""
