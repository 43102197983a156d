"""Files that runs leave on disk: entries, the store, run folders, leases, and the names that stored configs used.

Imports no other package of lineage, no torch, no hydra. Read first: entry.py, store.py, renames.py.
"""
