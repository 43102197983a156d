"""Callbacks that a config may name beside those of Lightning (conf/callbacks).

Read first: rate_finder.py.
"""
