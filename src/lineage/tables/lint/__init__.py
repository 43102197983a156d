"""The rules of "one table, one message". Read first: rules.py."""
