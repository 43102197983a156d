"""Detections of a model or a result file as columns: gathered over processes, pasted into the image, encoded as RLE.

Read first: predictions.py.
"""
