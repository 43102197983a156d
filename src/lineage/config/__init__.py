"""Configs as data: the schema, composing with errors for people, digests, and the one place where objects are built.

May import tables and results; no torch. Read first: schema.py, then compose.py and build.py.
"""
