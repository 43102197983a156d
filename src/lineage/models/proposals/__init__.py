"""Sources of proposals: the region proposal network, precomputed proposals, dense windows. Read first: rpn.py."""
