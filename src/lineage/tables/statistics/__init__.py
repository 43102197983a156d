"""Student's t, tests of differences and equivalence, and the noise of seeds. Read first: significance.py."""
