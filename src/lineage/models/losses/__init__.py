"""Losses of classes, boxes and overlaps, and hard example mining: each one file, with section and equation."""
