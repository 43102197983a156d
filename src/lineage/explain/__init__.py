"""Explanations of detections: which pixels a score depends on, and how far such a map can be trusted.

Read first: scalar_output.py, which defines what is explained, then gradients.py and cam.py; methods.py lists the
methods by name. Measures of maps: pointing.py, deletion.py, randomization.py.
"""
