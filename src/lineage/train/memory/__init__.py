"""Training in less memory: maps of the body are computed again in the backward pass."""
