"""Ablations of our own: tables written from what one wants to vary, or from runs that varied it.

May import lineage.results and the rest of lineage.tables. Read first: variation.py, then write.py and from_runs.py.
"""
