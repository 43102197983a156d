"""Pictures of detections, and in site/ the pages of runs. May import structures, ops, eval, tables and results.

Read first: pictures.py, draw.py.
"""
