"""Temporal super-resolution: the frame between two frames of a video."""
