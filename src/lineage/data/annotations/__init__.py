"""Annotations as memory-mapped columns: parsed and checked once, shared by all workers.

Read first: indexed_dataset.py, then columns.py and mmap_index.py.
"""
