"""The static site of a store: pages that compare runs, written from entries and run folders.

May import the rest of lineage.report and what it may. Read first: build.py, then records.py; docs/site.md has the
format of the data.
"""
