"""The commands: `lineage NAME` runs `main` of the file of that name, here or in a folder below.

A command parses arguments and calls the packages below. May import everything; nothing imports it. Read first:
main.py, train.py.
"""
