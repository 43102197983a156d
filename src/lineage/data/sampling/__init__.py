"""Samplers: the images of an epoch, how often each comes and in which order, as functions of (seed, step).

Read first: order.py.
"""
