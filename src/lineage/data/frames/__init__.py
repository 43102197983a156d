"""Videos as triplets: two frames that are given, and the frame between them that a model has to find."""
