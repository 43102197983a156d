"""One image with its objects: the type, the protocol of a dataset, pixels and masks. Imports no other room of data.

Read first: sample.py, dataset.py.
"""
