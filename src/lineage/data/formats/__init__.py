"""Readers of the public layouts: each turns its files into COCO's terms. Read first: coco.py."""
