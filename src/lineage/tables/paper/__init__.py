"""A paper's page: what it claims, what of that was shown here, and what was learned.

May import lineage.results and the rest of lineage.tables. Read first: status.py, then page.py and render.py.
"""
