"""The Lightning module and its callbacks: optimization, checkpoints, logs, the entry at the end.

The model arrives built. Read first: detection_module.py.
"""
