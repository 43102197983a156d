"""Commands that write, fill, judge, lint and quote tables. Read first: table.py, run.py."""
