"""Callbacks that a config may name beside those of Lightning (conf/callbacks).

May import what lineage.train may. Read first: rate_finder.py.
"""
