"""Checks before the first step: of the machine and its packages, and of what a config combines.

Read first: labels.py.
"""
