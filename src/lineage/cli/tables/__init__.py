"""Commands that write tables, choose runs for them, and say what they show. Read first: new.py."""
