"""Proposals from outside of the detector: their sources, and the dataset that adds them to its samples.

Read first: source.py.
"""
