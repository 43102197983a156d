"""The embedded dataset: scenes of shapes, figures and stuff, drawn as they are read.

Read first: dataset.py, then scene.py.
"""
