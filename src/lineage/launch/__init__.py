"""`lineage run`: which cells a table needs, what they cost, and their work on this machine or on SLURM.

May import config, tables and results; no torch. Read first: plan.py, then job.py and local.py.
"""
