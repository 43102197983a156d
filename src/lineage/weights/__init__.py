"""Weights of other code bases: tables of names, readers, and a pickle reader that runs nothing.

Read first: pretrained.py, identify.py.
"""
