"""Pictures and the HTML page of one run. May import structures, ops, eval, tables and results.

Read first: page.py, from_folder.py.
"""
