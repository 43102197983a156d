"""From files to batches: annotations are indexed once, images are read, augmented and collated.

It never sees a model. Read first: datamodule.py (what an epoch is), samples/sample.py.
"""
