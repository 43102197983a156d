"""One run from config to entry: the only package that composes all others; also models restored for prediction.

May import everything but cli. Read first: train.py, then assemble.py.
"""
