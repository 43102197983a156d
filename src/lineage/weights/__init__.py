"""Weights of other code bases: tables of names, readers, and a pickle reader that runs nothing.

Imports no other room: it handles names and files only. Read first: pretrained.py, identify.py.
"""
