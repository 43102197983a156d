"""The commands: `lineage NAME` runs `main` of the file of that name, which parses arguments and calls the rooms below.

May import everything; nothing imports it. Read first: main.py (the list of commands), train.py.
"""
