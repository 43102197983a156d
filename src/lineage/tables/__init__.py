"""Tables of papers: tables as files, their rows, claims and tiers, and verdicts from entries.

May import results; no torch, no hydra. Read first: table.py, read.py, verdicts.py.
"""
