"""What a model found, as columns: gathered over processes, pasted into the image, encoded as RLE.

Imports no other room of eval. Read first: predictions.py.
"""
