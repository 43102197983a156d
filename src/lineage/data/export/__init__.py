"""Writes any dataset to disk in the layouts of the public datasets, one module per layout.

It gives every loader real files to read, and any other code base the embedded dataset.
"""
