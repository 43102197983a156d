"""Calibration of detection scores: maps that are fitted on some images, and the measures of what they change on others.

Read first: score_map.py, fit.py, detector_measures.py.
"""
