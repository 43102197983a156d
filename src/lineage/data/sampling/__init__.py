"""Which images an epoch shows, how often and in which order: functions of (seed, step).

Read first: order.py.
"""
