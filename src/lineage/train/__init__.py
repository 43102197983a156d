"""The Lightning module and its callbacks: optimization, checkpoints, logs, the entry at the end.

May import structures, ops, eval and results; the model arrives built. Read first: detection_module.py.
"""
