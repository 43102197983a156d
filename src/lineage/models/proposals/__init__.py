"""Where objects might be: the region proposal network, precomputed proposals, dense windows. Read first: rpn.py."""
