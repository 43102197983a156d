"""Checks of what a config combines, before the first step: labels of the dataset, maps of the model.

Read first: labels.py.
"""
